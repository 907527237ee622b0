/* lib/store/slab.h
 *
 * Chunk bodies in big files of equal slots.
 *
 *   files reserve.NNN.slab: steps of STEP_SLOTS slots (64 MiB), at most 16 GiB each
 *   slot, 4384 bytes: crc32c[4] magic[2] len[2] type[1] flags[1] 0[6] seq[8] addr[32] stamp[113]
 *                     data[<= 4201] zeros; integers big-endian, the sum is over all behind it
 *
 * A slot describes itself, so that a lost index can be made again. Two structs, because two threads
 * use them: slab_map says which slots are free (loop), slab_files reads and writes (workers).
 *
 * Order:  neighbours are written together: what is written is in the file after slab_files_flush
 *         and durable after slab_files_sync, which flushes. A freed slot is reused when the reads
 *         that were under way have ended; the caller frees only what the index durably forgot.
 * Thread: slab_map loop only. slab_files: write, sync and truncate in one writer at a time; read in
 *         any worker, of slots whose write was acknowledged on the loop; a run may hold others,
 *         which their sums tell.
 * Errors: ERR_CORRUPT (sum, magic, another address), ERR_IO, ERR_DISK_FULL.
 */
#ifndef LARDER_STORE_SLAB_H
#define LARDER_STORE_SLAB_H

#include "base/bytes.h"

struct mem_owner;
struct slab_map;

enum {
    SLAB_SLOT_BYTES = 4384,
    SLAB_STAMP_BYTES = 113,
    SLAB_DATA_BYTES_MAX = 4201, /* the largest single-owner chunk */
    SLAB_STEP_SLOTS = 15307,    /* 64 MiB, rounded down */
    SLAB_STEPS_MAX = 255,       /* of one file: 16 GiB */
    SLAB_SLOTS_MAX = SLAB_STEP_SLOTS * SLAB_STEPS_MAX,
    SLAB_RUN_SLOTS = 16, /* 68 KiB: of as many writes of one slot each, fifteen cost a page anew */
};

#define SLAB_DIR_NAME "slabs" /* below data-dir */

struct slab_ref {
    uint32_t slab, slot;
};

struct slab_record {
    uint8_t type;
    uint64_t seq;           /* for repair: of two slots with one address the higher is newer */
    const uint8_t *address; /* 32 */
    const uint8_t *stamp;   /* SLAB_STAMP_BYTES */
    struct bytes data;
};

struct slab_files {
    char dir[LIMIT_PATH_BYTES];
    int fd[LIMIT_SLABS];                /* negative: no such file */
    uint32_t steps[LIMIT_SLABS];        /* in the file; the writer's */
    uint64_t touched[LIMIT_SLABS / 64]; /* written since the last sync; the writer's */
    bool made[LIMIT_SLABS];             /* since its first sync; the writer's */
    struct slab_ref run_at;             /* the first slot of the run; the writer's */
    uint32_t run_slots;
    uint8_t run[SLAB_RUN_SLOTS * SLAB_SLOT_BYTES];
};

/* Opens what is in the folder, which is made when it is not there. */
enum err slab_files_open(struct slab_files *f, const char *dir, struct error *err);
void slab_files_close(struct slab_files *f); /* half opened is fine */
enum err slab_files_write(struct slab_files *f, struct slab_ref ref, const struct slab_record *rec,
                          struct error *err);
enum err slab_files_flush(struct slab_files *f, struct error *err);
void slab_files_drop(struct slab_files *f); /* what was not flushed: its writer has given up */
enum err slab_files_sync(struct slab_files *f, struct error *err); /* all that was touched */
/* Does writing work? As a write and a sync, but of zeros, into a slot that nobody has. */
enum err slab_files_probe(struct slab_files *f, struct slab_ref ref, struct error *err);
enum err slab_files_truncate(struct slab_files *f, uint32_t slab, uint32_t steps,
                             struct error *err);
/* buf has SLAB_SLOT_BYTES; the record points into it. */
enum err slab_files_read(const struct slab_files *f, struct slab_ref ref, uint8_t *buf,
                         struct slab_record *out, struct error *err);

/* Neighbours from ref on, at most SLAB_RUN_SLOTS, unchecked; returns how many whole slots were
 * there. */
uint32_t slab_files_read_run(const struct slab_files *f, struct slab_ref ref, uint32_t slots,
                             uint8_t *buf);

/* What a whole slot holds, checked; the record points into it. */
enum err slab_slot_decode(struct bytes slot, struct slab_record *out, struct error *err);
/* Offline: does the folder hold slabs? And without them: the folder goes, if nothing else is in it.
 */
bool slab_dir_is_used(const char *dir);
void slab_dir_remove(const char *dir);

/* steps[i]: of slab i, as found on disk. Those are closed for takes until slab_map_derived. */
enum err slab_map_create(struct slab_map **out, struct mem_owner *mem,
                         const uint32_t steps[LIMIT_SLABS], struct error *err);
void slab_map_destroy(struct slab_map *m);                   /* NULL is fine */
bool slab_map_mark(struct slab_map *m, struct slab_ref ref); /* false: it is marked already */
void slab_map_derived(struct slab_map *m);
/* The lowest free slot of the fullest slab that has one; false: no memory, or all slabs are full.
 */
bool slab_map_take(struct slab_map *m, struct slab_ref *out) WARN_UNUSED;
void slab_map_untake(struct slab_map *m, struct slab_ref ref); /* it was never written or read */
void slab_map_free(struct slab_map *m, struct slab_ref ref);
uint64_t slab_map_used(const struct slab_map *m);
uint64_t slab_map_bytes(const struct slab_map *m); /* on disk */

/* Around a read: a slot freed between the two is not reused before the second. */
unsigned slab_map_enter(struct slab_map *m);
void slab_map_leave(struct slab_map *m, unsigned ticket);

/* A slab with two empty steps or more at its end: keeps one. The caller truncates the file in the
 * writer, behind everything that was submitted before. */
bool slab_map_trim(struct slab_map *m, uint32_t *slab, uint32_t *steps);

#endif
