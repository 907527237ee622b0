/* lib/node/swarm_pull_list.h
 *
 * Of whom is pulled, and how far: the list "peers" of the section "pullsync" in the status, a line
 * for each peer and each bin it has something in, at most LIMIT_STATUS_PULLED_LINES, and how many
 * were left out.
 * Ownership: a value; borrows the writer. Thread: loop only.
 */
#ifndef LARDER_NODE_SWARM_PULL_LIST_H
#define LARDER_NODE_SWARM_PULL_LIST_H

#include "swarm/puller.h"

struct json_writer;

struct swarm_pull_list {
    struct json_writer *w;
    const struct peer_id *peer_; /* whose bins come at present */
    bool open_;                  /* its line is written, and its list of bins is open */
    uint32_t left_;              /* lines there is room for */
    uint64_t peers_out_, bins_out_;
};
void swarm_pull_list_begin(struct swarm_pull_list *l, struct json_writer *w);
bool swarm_pull_list_bin(void *list, const struct puller_bin_status *b); /* a puller_each_cb */
void swarm_pull_list_end(struct swarm_pull_list *l);

#endif
