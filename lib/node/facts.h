/* lib/node/facts.h
 *
 * The file data-dir/node.json: what this process really is and has bound, so that ports may be 0
 * and scripts need not guess. Pid and version are always in it. There while the node runs.
 * Owns:   the texts of LIMIT_NODE_FACTS facts of LIMIT_NODE_FACT_BYTES each.
 * Thread: loop; a worker writes the file.
 * Errors: ERR_LIMIT when a fact is too long. What the disk refuses is logged: a node without its
 *         file still serves.
 */
#ifndef LARDER_NODE_FACTS_H
#define LARDER_NODE_FACTS_H

#include "core/work.h"
#include "node/datadir.h"

struct facts;
struct mem_owner;

enum err facts_create(struct facts **out, struct mem_owner *mem, struct work_pool *pool,
                      const struct datadir *dir, struct error *err);
/* Asserts that nothing is being written; the file goes. NULL is fine. */
void facts_destroy(struct facts *f);

/* A fact set anew replaces the old one. The key is a literal. */
enum err facts_set_text(struct facts *f, const char *key, const char *text, struct error *err);
enum err facts_set_texts(struct facts *f, const char *key, const char *const *texts, size_t count,
                         struct error *err);
enum err facts_set_number(struct facts *f, const char *key, uint64_t value, struct error *err);

/* Writes the file, now and whenever a fact is set from now on. */
void facts_publish(struct facts *f);
/* False: nothing is being written. True: idle(ctx) is called once when that is so. */
typedef void facts_idle(void *ctx);
bool facts_wait(struct facts *f, facts_idle *idle, void *ctx);

#endif
