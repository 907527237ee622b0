#include "swarm/upload_tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "codec/manifest.h"

/* One walk. */
struct walk {
    struct upload_tree *tree;
    bool listing; /* the second one */
    uint32_t files, depth;
    char path[LIMIT_MANIFEST_PATH_BYTES + 1];
    size_t size;
};

static enum err walk_folder(struct walk *w, int fd, struct error *err);

static enum err list_file(struct walk *w, struct error *err)
{
    struct upload_tree *t = w->tree;
    if (w->files > t->files || t->names_used + w->size + 1 > t->names_bytes)
        return error_set(err, ERR_IO, "the folder grows while it is read");
    t->sorted[w->files - 1] = t->names + t->names_used;
    memcpy(t->names + t->names_used, w->path, w->size + 1);
    t->names_used += w->size + 1;
    return ERR_OK;
}

static enum err visit_file(struct walk *w, const struct stat *st, struct error *err)
{
    enum err rc = manifest_path_check(bytes_of(w->path, w->size), err);
    if (rc)
        return error_wrap(err, rc, "%s", w->path);
    if (!LIMIT_CHECK(UPLOAD_FILES, ++w->files))
        return error_set(err, ERR_LIMIT, "more than %d files", LIMIT_UPLOAD_FILES);
    if (w->listing)
        return list_file(w, err);
    w->tree->names_bytes += w->size + 1;
    w->tree->bytes += (uint64_t)st->st_size;
    return ERR_OK;
}

static enum err visit_folder(struct walk *w, int parent, const char *name, struct error *err)
{
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "opening %s", w->path);
    if (!LIMIT_CHECK(UPLOAD_DEPTH, ++w->depth)) {
        close(fd);
        return error_set(err, ERR_LIMIT, "%s: folders more than %d deep", w->path,
                         LIMIT_UPLOAD_DEPTH);
    }
    enum err rc = walk_folder(w, fd, err);
    w->depth--;
    return rc;
}

static enum err visit(struct walk *w, int parent, const char *name, struct error *err)
{
    struct stat st;
    size_t before = w->size, size = strlen(name);
    enum err rc = ERR_OK;
    if (before + 1 + size > LIMIT_MANIFEST_PATH_BYTES)
        return error_set(err, ERR_LIMIT, "the path of %s is too long", name);
    if (before > 0)
        w->path[w->size++] = '/';
    memcpy(w->path + w->size, name, size + 1);
    w->size += size;
    if (fstatat(parent, name, &st, AT_SYMLINK_NOFOLLOW))
        rc = error_errno(err, ERR_IO, errno, "asking about %s", w->path);
    else if (S_ISDIR(st.st_mode))
        rc = visit_folder(w, parent, name, err);
    else if (S_ISREG(st.st_mode))
        rc = visit_file(w, &st, err);
    else if (!w->listing)
        w->tree->left_out++;
    w->size = before;
    w->path[before] = '\0';
    return rc;
}

/* Closes fd. */
static enum err walk_folder(struct walk *w, int fd, struct error *err)
{
    DIR *d = fdopendir(fd);
    enum err rc = ERR_OK;
    if (!d) {
        int failed = errno;
        close(fd);
        return error_errno(err, ERR_IO, failed, "reading %s", w->path);
    }
    for (struct dirent *e; !rc && (e = readdir(d));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            rc = visit(w, dirfd(d), e->d_name, err);
    closedir(d);
    return rc;
}

static enum err walk_all(struct walk *w, const char *path, struct error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return error_errno(err, ERR_IO, errno, "opening %s", path);
    return walk_folder(w, fd, err);
}

enum err upload_tree_count(struct upload_tree *t, const char *path, struct error *err)
{
    struct walk w = { .tree = t };
    struct stat st;
    if (stat(path, &st))
        return error_errno(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, errno, "%s", path);
    t->is_file = S_ISREG(st.st_mode);
    if (t->is_file) {
        t->files = 1;
        t->bytes = (uint64_t)st.st_size;
        return ERR_OK;
    }
    if (!S_ISDIR(st.st_mode))
        return error_set(err, ERR_USAGE, "%s is neither a file nor a folder", path);
    enum err rc = walk_all(&w, path, err);
    t->files = w.files;
    if (!rc && t->files == 0)
        return error_set(err, ERR_USAGE, "there are no files in %s", path);
    return rc;
}

enum err upload_tree_room(struct upload_tree *t, struct mem_owner *mem, struct error *err)
{
    if (t->is_file)
        return ERR_OK;
    t->names = mem_try_alloc(mem, t->names_bytes);
    t->sorted = mem_try_zalloc(mem, t->files * sizeof(*t->sorted));
    if (t->names && t->sorted)
        return ERR_OK;
    return mem_refused(mem, t->names_bytes + t->files * sizeof(*t->sorted), err);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

enum err upload_tree_list(struct upload_tree *t, const char *path, struct error *err)
{
    struct walk w = { .tree = t, .listing = true };
    if (t->is_file)
        return ERR_OK;
    enum err rc = walk_all(&w, path, err);
    if (rc)
        return rc;
    t->files = w.files; /* fewer than before is fine */
    if (t->files == 0)
        return error_set(err, ERR_IO, "%s is emptied while it is read", path);
    qsort(t->sorted, t->files, sizeof(*t->sorted), by_name);
    return ERR_OK;
}

void upload_tree_free(struct upload_tree *t, struct mem_owner *mem)
{
    mem_free(mem, t->sorted);
    mem_free(mem, t->names);
    *t = (struct upload_tree){ .is_file = false };
}

const char *upload_content_type(const char *name)
{
    static const struct {
        const char *end, *type;
    } types[] = {
        { ".html", "text/html; charset=utf-8" },
        { ".htm", "text/html; charset=utf-8" },
        { ".css", "text/css; charset=utf-8" },
        { ".js", "text/javascript; charset=utf-8" },
        { ".mjs", "text/javascript; charset=utf-8" },
        { ".txt", "text/plain; charset=utf-8" },
        { ".xml", "text/xml; charset=utf-8" },
        { ".json", "application/json" },
        { ".pdf", "application/pdf" },
        { ".wasm", "application/wasm" },
        { ".png", "image/png" },
        { ".jpg", "image/jpeg" },
        { ".jpeg", "image/jpeg" },
        { ".gif", "image/gif" },
        { ".svg", "image/svg+xml" },
        { ".webp", "image/webp" },
        { ".avif", "image/avif" },
    };
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < ARRAY_SIZE(types); i++)
        if (!strcasecmp(dot, types[i].end))
            return types[i].type;
    return "application/octet-stream";
}
