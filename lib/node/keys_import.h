/* lib/node/keys_import.h
 *
 * A file of keys, one a line, read in slices: a slice fills a set for one write of the keystore.
 * Empty lines and lines that begin with # are skipped; bad ones are counted and told with their
 * numbers, the first of them.
 * Owns:   the descriptor and a buffer. Thread: made and freed on the loop; read by one worker.
 * Errors: ERR_IO; ERR_USAGE: a pipe, which could make a worker wait.
 */
#ifndef LARDER_NODE_KEYS_IMPORT_H
#define LARDER_NODE_KEYS_IMPORT_H

#include "store/keyset.h"

struct keys_import {
    int fd_;
    bool end;        /* the last slice has been read */
    bool long_line_; /* the rest of a line that is too long is skipped */
    uint32_t have_, at_;
    uint64_t line, keys, bad;        /* lines seen, taken, refused */
    uint64_t read_bytes, size_bytes; /* 0: not known */
    uint32_t told_;                  /* bad lines with a sentence */
    size_t text_used;
    char text[4096]; /* sentences of this slice */
    char buffer_[64 * 1024];
};

enum err keys_import_open(struct keys_import *in, const char *path, struct error *err); /* worker */
void keys_import_close(struct keys_import *in);
enum err keys_import_slice(struct keys_import *in, struct keyset *keys, struct error *err);

#endif
