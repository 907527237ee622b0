/* lib/swarm/upload_tree.h
 *
 * What an upload takes: one file, or all files below a folder in the order of their paths. Links
 * and what else is no file are left out and counted.
 * Ownership: memory of the owner given, taken on the loop between two walks on workers: the first
 * counts, the second writes down, and fails when the folder has grown meanwhile.
 * Errors: ERR_IO, ERR_LIMIT, ERR_BUDGET, ERR_MALFORMED (a name that no directory may hold).
 */
#ifndef LARDER_SWARM_UPLOAD_TREE_H
#define LARDER_SWARM_UPLOAD_TREE_H

#include "base/error.h"

struct mem_owner;

struct upload_tree { /* zeroed at first */
    bool is_file;
    uint32_t files, left_out;
    uint64_t bytes;      /* of the files */
    const char **sorted; /* owned; paths below the folder, by their bytes */
    char *names;         /* owned */
    size_t names_bytes, names_used;
};
enum err upload_tree_count(struct upload_tree *t, const char *path, struct error *err);
enum err upload_tree_room(struct upload_tree *t, struct mem_owner *mem, struct error *err);
enum err upload_tree_list(struct upload_tree *t, const char *path, struct error *err);
void upload_tree_free(struct upload_tree *t, struct mem_owner *mem);

/* By the end of the name, as web servers do it. */
const char *upload_content_type(const char *name);

#endif
