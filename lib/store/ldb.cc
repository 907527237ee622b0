/* The only file that knows LevelDB, and the only C++. Nothing here throws and nothing anywhere
 * catches, so a bad_alloc of the library ends the program where it is thrown. */
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <leveldb/cache.h>
#include <leveldb/db.h>
#include <leveldb/env.h>
#include <leveldb/filter_policy.h>
#include <leveldb/iterator.h>
#include <leveldb/write_batch.h>

extern "C" {
#include "base/mem.h"
#include "store/durable.h"
#include "store/ldb.h"
#include "store/ldb_log.h"
#include "store/ldb_table.h"
}

namespace
{
using leveldb::Slice;
using leveldb::Status;

struct Counters {
    std::atomic<uint64_t> reads{ 0 }, read_bytes{ 0 }, writes{ 0 }, write_bytes{ 0 }, syncs{ 0 };
};

/* What the files of one store share. The atomics are statistics and one flag; nothing else crosses
 * threads through them. */
struct Shared {
    Counters files[LDB_FILE_KINDS];
    std::atomic<uint64_t> open_tables{ 0 }, open_table_bytes{ 0 }, readaheads{ 0 };
    std::atomic<int> write_errno{ 0 }; /* the first write or sync that failed */
};

void count(std::atomic<uint64_t> &counter, uint64_t n)
{
    counter.fetch_add(n, std::memory_order_relaxed);
}

struct bytes bytes_of_slice(const Slice &s)
{
    return bytes_of(s.data(), s.size());
}

bool ends_with(const std::string &s, const char *suffix)
{
    size_t n = strlen(suffix);
    return s.size() >= n && !s.compare(s.size() - n, n, suffix);
}

enum ldb_file kind_of(const std::string &path)
{
    std::string name = path.substr(path.rfind('/') + 1);
    if (ends_with(name, ".ldb") || ends_with(name, ".sst"))
        return LDB_FILE_TABLE;
    if (ends_with(name, ".log"))
        return LDB_FILE_LOG;
    return !name.compare(0, 9, "MANIFEST-") ? LDB_FILE_MANIFEST : LDB_FILE_OTHER;
}

Status io_error(const std::string &path, int errnum)
{
    return errnum == ENOENT ? Status::NotFound(path, strerrordesc_np(errnum))
                            : Status::IOError(path, strerrordesc_np(errnum));
}

/* Status has no errno; the text of ours has. */
enum err code_of(const Status &s)
{
    if (s.IsNotFound())
        return ERR_NOT_FOUND;
    if (s.IsCorruption() || s.IsInvalidArgument())
        return ERR_CORRUPT;
    if (s.IsNotSupportedError())
        return ERR_UNSUPPORTED;
    std::string text = s.ToString();
    if (text.find(strerrordesc_np(ENOSPC)) != std::string::npos ||
        text.find(strerrordesc_np(EDQUOT)) != std::string::npos)
        return ERR_DISK_FULL;
    return ERR_IO;
}

enum err fail(struct error *err, enum err code, const char *name, const Status &s)
{
    error_set(err, code, "store %s: %s", name, s.ToString().c_str());
    return code;
}

enum err errno_code(int errnum)
{
    return errnum == ENOSPC || errnum == EDQUOT ? ERR_DISK_FULL : ERR_IO;
}

/* Reads at random until three reads followed each other; then it asks the kernel for the next MiB
 * while one is consumed. FADV_RANDOM stays on: readahead() works all the same, and one read out of
 * order ends it without a further call. */
class PreadFile final : public leveldb::RandomAccessFile
{
  public:
    PreadFile(std::string path, int fd, enum ldb_file kind, Shared *shared)
        : path_(std::move(path)), fd_(fd), kind_(kind), shared_(shared)
    {
        posix_fadvise(fd_, 0, 0, POSIX_FADV_RANDOM);
        if (kind_ == LDB_FILE_TABLE)
            count(shared_->open_tables, 1);
    }
    ~PreadFile() override
    {
        close(fd_);
        if (kind_ != LDB_FILE_TABLE)
            return;
        shared_->open_tables.fetch_sub(1, std::memory_order_relaxed);
        shared_->open_table_bytes.fetch_sub(table_bytes_, std::memory_order_relaxed);
    }
    Status Read(uint64_t offset, size_t n, Slice *result, char *scratch) const override
    {
        read_ahead(offset, n);
        size_t got = 0;
        while (got < n) {
            ssize_t r = pread(fd_, scratch + got, n - got, (off_t)(offset + got));
            if (r < 0 && errno == EINTR)
                continue;
            if (r < 0)
                return io_error(path_, errno);
            if (r == 0)
                break;
            got += (size_t)r;
        }
        *result = Slice(scratch, got);
        count(shared_->files[kind_].reads, 1);
        count(shared_->files[kind_].read_bytes, got);
        note_table_block(offset, *result);
        return Status::OK();
    }

  private:
    enum { SEQUENTIAL_READS = 3, AHEAD_STEP = 128 * 1024, AHEAD_BYTES = 1024 * 1024 };

    /* Reads of several threads on one table may mix up the three words: it costs a wrong guess. */
    void read_ahead(uint64_t offset, size_t n) const
    {
        uint64_t expected = next_.exchange(offset + n, std::memory_order_relaxed);
        if (offset != expected) {
            run_.store(0, std::memory_order_relaxed);
            ahead_.store(0, std::memory_order_relaxed);
            return;
        }
        if (run_.fetch_add(1, std::memory_order_relaxed) + 1 < SEQUENTIAL_READS)
            return;
        uint64_t ahead = ahead_.load(std::memory_order_relaxed);
        if (ahead > offset + n + AHEAD_BYTES / 2)
            return;
        uint64_t from = std::max(ahead, offset + n), to = offset + n + AHEAD_BYTES;
        for (uint64_t at = from; at < to; at += AHEAD_STEP) /* the kernel cuts longer requests */
            readahead(fd_, (off64_t)at, AHEAD_STEP);
        ahead_.store(to, std::memory_order_relaxed);
        count(shared_->readaheads, 1);
    }

    /* What LevelDB keeps in memory while a table is open: its index, which lies behind the
     * metaindex, and its filter, which ends where the metaindex begins. The footer is read first.
     */
    void note_table_block(uint64_t offset, const Slice &block) const
    {
        if (kind_ != LDB_FILE_TABLE)
            return;
        uint64_t metaindex = metaindex_.load(std::memory_order_relaxed);
        if (!metaindex) {
            uint64_t at;
            if (ldb_table_metaindex(bytes_of_slice(block), &at))
                metaindex_.store(at, std::memory_order_relaxed);
        } else if (offset + block.size() == metaindex || offset > metaindex) {
            table_bytes_.fetch_add(block.size(), std::memory_order_relaxed);
            count(shared_->open_table_bytes, block.size());
        }
    }

    const std::string path_;
    const int fd_;
    const enum ldb_file kind_;
    Shared *const shared_;
    mutable std::atomic<uint64_t> next_{ 0 }, ahead_{ 0 }, metaindex_{ 0 }, table_bytes_{ 0 };
    mutable std::atomic<uint32_t> run_{ 0 };
};

class CountedSequentialFile final : public leveldb::SequentialFile
{
  public:
    CountedSequentialFile(leveldb::SequentialFile *file, enum ldb_file kind, Shared *shared)
        : file_(file), kind_(kind), shared_(shared)
    {
    }
    Status Read(size_t n, Slice *result, char *scratch) override
    {
        Status s = file_->Read(n, result, scratch);
        count(shared_->files[kind_].reads, 1);
        count(shared_->files[kind_].read_bytes, s.ok() ? result->size() : 0);
        return s;
    }
    Status Skip(uint64_t n) override
    {
        return file_->Skip(n);
    }

  private:
    const std::unique_ptr<leveldb::SequentialFile> file_;
    const enum ldb_file kind_;
    Shared *const shared_;
};

/* A file that fails once fails for good: LevelDB's log writer would otherwise go on behind a record
 * that was cut short, and what is acknowledged after it could not be read again. */
class AppendFile final : public leveldb::WritableFile
{
  public:
    AppendFile(std::string path, int fd, Shared *shared)
        : path_(std::move(path)), fd_(fd), kind_(kind_of(path_)), shared_(shared)
    {
        buffer_.reserve(BUFFER_BYTES);
    }
    ~AppendFile() override
    {
        if (fd_ >= 0)
            Close(); /* LevelDB drops a full log like this, while the next one is still empty */
    }
    Status Append(const Slice &data) override
    {
        if (buffer_.size() + data.size() > BUFFER_BYTES) {
            Status s = Flush();
            if (!s.ok())
                return s;
        }
        if (data.size() > BUFFER_BYTES)
            return write_out(data.data(), data.size());
        buffer_.append(data.data(), data.size());
        return Status::OK();
    }
    Status Flush() override
    {
        Status s = write_out(buffer_.data(), buffer_.size());
        buffer_.clear();
        return s;
    }
    Status Sync() override
    {
        Status s = Flush();
        if (!s.ok())
            return s;
        struct error err = { ERR_OK, "" };
        errno = 0;
        enum err rc = named_ ? durable_sync(fd_, path_.c_str(), &err)
                             : durable_sync_new(fd_, path_.c_str(), &err);
        count(shared_->files[kind_].syncs, 1);
        if (rc)
            return failed(rc == ERR_DISK_FULL ? ENOSPC : EIO);
        named_ = true;
        return Status::OK();
    }
    Status Close() override
    {
        Status s = kind_ == LDB_FILE_LOG ? Sync() : Flush(); /* no hole before the next log */
        if (close(fd_) && s.ok())
            s = failed(errno);
        fd_ = -1;
        return s;
    }

  private:
    static constexpr size_t BUFFER_BYTES = 64 * 1024;

    Status write_out(const char *data, size_t size)
    {
        if (errno_)
            return io_error(path_, errno_);
        while (size > 0) {
            ssize_t n = write(fd_, data, size);
            if (n < 0 && errno == EINTR)
                continue;
            if (n < 0)
                return failed(errno);
            count(shared_->files[kind_].write_bytes, (uint64_t)n);
            data += n;
            size -= (size_t)n;
        }
        count(shared_->files[kind_].writes, 1);
        return Status::OK();
    }
    Status failed(int errnum)
    {
        int none = 0;
        errno_ = errnum;
        shared_->write_errno.compare_exchange_strong(none, errnum);
        return io_error(path_, errnum);
    }

    const std::string path_;
    int fd_;
    const enum ldb_file kind_;
    Shared *const shared_;
    std::string buffer_;
    int errno_ = 0;
    bool named_ = false; /* its folder is synced */
};

class BoundedLogger final : public leveldb::Logger
{
  public:
    explicit BoundedLogger(const std::string &path)
    {
        ldb_log_open(&log_, path.c_str());
    }
    ~BoundedLogger() override
    {
        ldb_log_close(&log_);
    }
    void Logv(const char *format, va_list ap) override
    {
        std::lock_guard<std::mutex> hold(mutex_);
        ldb_log_line(&log_, format, ap);
    }

  private:
    std::mutex mutex_;
    struct ldb_log log_;
};

class Env final : public leveldb::EnvWrapper
{
  public:
    explicit Env(const char *name) : EnvWrapper(leveldb::Env::Default()), name_(name)
    {
    }
    ~Env() override
    {
        {
            std::lock_guard<std::mutex> hold(mutex_);
            ending_ = true;
        }
        wake_.notify_one();
        if (thread_.joinable())
            thread_.join();
    }

    Status NewSequentialFile(const std::string &path, leveldb::SequentialFile **out) override
    {
        leveldb::SequentialFile *file;
        Status s = target()->NewSequentialFile(path, &file);
        if (s.ok())
            *out = new CountedSequentialFile(file, kind_of(path), &shared);
        return s;
    }
    Status NewRandomAccessFile(const std::string &path, leveldb::RandomAccessFile **out) override
    {
        int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return io_error(path, errno);
        *out = new PreadFile(path, fd, kind_of(path), &shared);
        return Status::OK();
    }
    Status NewWritableFile(const std::string &path, leveldb::WritableFile **out) override
    {
        int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0) {
            int none = 0, errnum = errno;
            shared.write_errno.compare_exchange_strong(none, errnum);
            return io_error(path, errnum);
        }
        *out = new AppendFile(path, fd, &shared);
        return Status::OK();
    }
    Status RemoveFile(const std::string &path) override
    {
        Status s = target()->RemoveFile(path);
        if (s.ok())
            durable_forget(path.c_str());
        return s;
    }
    Status RenameFile(const std::string &from, const std::string &to) override
    {
        if (ends_with(from, "/LOG")) /* LevelDB puts its diagnostics aside: not worth a sync */
            return target()->RenameFile(from, to);
        struct error err = { ERR_OK, "" };
        return durable_rename(from.c_str(), to.c_str(), &err) ? io_error(to, EIO) : Status::OK();
    }
    Status LockFile(const std::string &path, leveldb::FileLock **lock) override
    {
        Status s = target()->LockFile(path, lock);
        locked_elsewhere = !s.ok() && !s.ToString().compare(0, 15, "IO error: lock ");
        return s;
    }
    Status NewLogger(const std::string &path, leveldb::Logger **out) override
    {
        *out = new BoundedLogger(path);
        return Status::OK();
    }
    /* One thread per store: compactions of one must not delay the flush of another. LevelDB
     * schedules the next only when one has ended, so there is one slot. */
    void Schedule(void (*function)(void *arg), void *arg) override
    {
        std::lock_guard<std::mutex> hold(mutex_);
        assert(!function_);
        function_ = function;
        arg_ = arg;
        if (!thread_.joinable())
            thread_ = std::thread(&Env::run, this);
        wake_.notify_one();
    }

    Shared shared;
    bool locked_elsewhere = false;

  private:
    void run()
    {
        char name[16];
        snprintf(name, sizeof(name), "ldb-%s", name_);
        pthread_setname_np(pthread_self(), name);
        mem_arena_stores_enter();
        setpriority(PRIO_PROCESS, (id_t)gettid(),
                    5); /* as the pool's threads: the loop goes first */
        std::unique_lock<std::mutex> hold(mutex_);
        while (true) {
            wake_.wait(hold, [this] { return ending_ || function_; });
            if (!function_)
                return;
            auto function = std::exchange(function_, nullptr);
            void *arg = arg_;
            hold.unlock();
            function(arg);
            hold.lock();
        }
    }

    const char *const name_;
    std::mutex mutex_;
    std::condition_variable wake_;
    void (*function_)(void *arg) = nullptr; /* the slot */
    void *arg_ = nullptr;
    std::thread thread_;
    bool ending_ = false;
};

/* Bloom filter over the keys of some kinds. The others are never looked up by point, so their share
 * of the filter would be memory for nothing. */
class KindFilter final : public leveldb::FilterPolicy
{
  public:
    KindFilter(int bits, const char *kinds)
        : bloom_(leveldb::NewBloomFilterPolicy(bits)), kinds_(kinds ? kinds : ""), all_(!kinds),
          name_("larder.Bloom1:" + (kinds ? kinds_ : "*"))
    {
    }
    const char *Name() const override
    {
        return name_.c_str(); /* a filter made under another name is passed by */
    }
    void CreateFilter(const Slice *keys, int n, std::string *dst) const override
    {
        if (all_)
            return bloom_->CreateFilter(keys, n, dst);
        std::vector<Slice> picked;
        for (int i = 0; i < n; i++)
            if (has_kind(keys[i]))
                picked.push_back(keys[i]);
        if (!picked.empty())
            bloom_->CreateFilter(picked.data(), (int)picked.size(), dst);
    }
    bool KeyMayMatch(const Slice &key, const Slice &filter) const override
    {
        return has_kind(key) ? bloom_->KeyMayMatch(key, filter) : true;
    }

  private:
    bool has_kind(const Slice &key) const
    {
        return all_ || (!key.empty() && kinds_.find(key[0]) != std::string::npos);
    }
    const std::unique_ptr<const leveldb::FilterPolicy> bloom_;
    const std::string kinds_;
    const bool all_;
    const std::string name_;
};

Slice slice(struct bytes b)
{
    return Slice((const char *)b.data, b.size);
}

leveldb::ReadOptions read_options(const struct ldb_view *view, bool fill_cache)
{
    leveldb::ReadOptions ro;
    ro.verify_checksums = true;
    ro.fill_cache = fill_cache;
    ro.snapshot = (const leveldb::Snapshot *)(const void *)view;
    return ro;
}

} // namespace

struct ldb {
    explicit ldb(const struct ldb_options *o) : name(o->name), env(o->name)
    {
        options.env = &env;
        options.create_if_missing = !o->must_exist;
        /* Else compaction would copy a damaged block under a fresh checksum. */
        options.paranoid_checks = true;
        options.write_buffer_size = o->write_buffer_bytes;
        options.max_open_files = (int)std::min<uint64_t>(o->open_tables, 50000) + 10;
        options.block_size = o->block_bytes;
        options.max_file_size = o->table_bytes;
        options.compression = o->compress ? leveldb::kSnappyCompression : leveldb::kNoCompression;
        cache.reset(leveldb::NewLRUCache(o->cache_bytes));
        options.block_cache = cache.get();
        if (o->filter_bits)
            filter.reset(new KindFilter(o->filter_bits, o->filter_kinds));
        options.filter_policy = filter.get();
    }
    const char *const name;
    Env env; /* outlives db, whose last act is a job of its thread */
    std::unique_ptr<leveldb::Cache> cache;
    std::unique_ptr<KindFilter> filter;
    leveldb::Options options;
    std::unique_ptr<leveldb::DB> db;
    std::atomic<int> failure{ ERR_OK };
    std::atomic<uint32_t> held{ 0 }; /* iterators and views */
};

struct ldb_batch {
    leveldb::WriteBatch batch;
    size_t bytes_max;
};

struct ldb_iter {
    struct ldb *db;
    std::unique_ptr<leveldb::Iterator> it;
};

enum err ldb_open(struct ldb **out, const char *path, const struct ldb_options *options,
                  struct error *err)
{
    std::unique_ptr<struct ldb> db(new struct ldb(options));
    leveldb::DB *opened = nullptr;
    enum err rc = options->must_exist ? ERR_OK : durable_mkdir(path, err);
    if (rc)
        return rc;
    if (options->must_exist && access((std::string(path) + "/CURRENT").c_str(), F_OK))
        return (enum err)error_set(err, ERR_NOT_FOUND, "store %s: none in %s", db->name, path);
    Status s = leveldb::DB::Open(db->options, path, &opened);
    if (!s.ok())
        return fail(err, db->env.locked_elsewhere ? ERR_LOCKED : code_of(s), db->name, s);
    db->db.reset(opened);
    *out = db.release();
    return ERR_OK;
}

void ldb_close(struct ldb *db)
{
    assert(!db || !db->held.load());
    delete db;
}

enum err ldb_destroy(const char *path, struct error *err)
{
    Status s = leveldb::DestroyDB(path, leveldb::Options());
    return s.ok() ? ERR_OK : fail(err, code_of(s), path, s);
}

enum err ldb_repair(const char *path, const struct ldb_options *options, struct error *err)
{
    struct ldb db(options);
    Status s = leveldb::RepairDB(path, db.options);
    return s.ok() ? ERR_OK
                  : fail(err, db.env.locked_elsewhere ? ERR_LOCKED : code_of(s), db.name, s);
}

enum err ldb_failure(const struct ldb *db)
{
    int errnum = db->env.shared.write_errno.load();
    return errnum ? errno_code(errnum) : (enum err)db->failure.load();
}

static enum err get(struct ldb *db, const struct ldb_view *view, struct bytes key,
                    std::string *value, struct error *err)
{
    Status s = db->db->Get(read_options(view, true), slice(key), value);
    if (s.ok())
        return ERR_OK;
    if (s.IsNotFound()) { /* an ordinary answer: no text to build */
        error_set(err, ERR_NOT_FOUND, "store %s: no such key", db->name);
        return ERR_NOT_FOUND;
    }
    return fail(err, code_of(s), db->name, s);
}

enum err ldb_get(struct ldb *db, const struct ldb_view *view, struct bytes key,
                 struct writer *value, struct error *err)
{
    std::string found;
    enum err rc = get(db, view, key, &found, err);
    if (rc)
        return rc;
    if (found.size() > writer_left(value))
        return (enum err)error_set(err, ERR_TOO_LARGE, "store %s: a value of %zu bytes", db->name,
                                   found.size());
    writer_put(value, found.data(), found.size());
    return ERR_OK;
}

enum err ldb_get_fixed(struct ldb *db, struct bytes key, void *value, size_t size,
                       struct error *err)
{
    std::string found;
    enum err rc = get(db, nullptr, key, &found, err);
    if (rc)
        return rc;
    if (found.size() != size)
        return (enum err)error_set(err, ERR_CORRUPT, "store %s: a value of %zu bytes, not %zu",
                                   db->name, found.size(), size);
    memcpy(value, found.data(), size);
    return ERR_OK;
}

struct ldb_batch *ldb_batch_create(size_t bytes_max)
{
    return new ldb_batch{ leveldb::WriteBatch(), bytes_max };
}

void ldb_batch_destroy(struct ldb_batch *batch)
{
    delete batch;
}

/* A record has a type byte and two lengths of at most five bytes. */
static enum err batch_room(const struct ldb_batch *b, size_t bytes, struct error *err)
{
    if (b->batch.ApproximateSize() + bytes + 11 <= b->bytes_max)
        return ERR_OK;
    return (enum err)error_set(err, ERR_TOO_LARGE, "a write batch of %zu bytes is full",
                               b->bytes_max);
}

enum err ldb_batch_put(struct ldb_batch *batch, struct bytes key, struct bytes value,
                       struct error *err)
{
    enum err rc = batch_room(batch, key.size + value.size, err);
    if (!rc)
        batch->batch.Put(slice(key), slice(value));
    return rc;
}

enum err ldb_batch_delete(struct ldb_batch *batch, struct bytes key, struct error *err)
{
    enum err rc = batch_room(batch, key.size, err);
    if (!rc)
        batch->batch.Delete(slice(key));
    return rc;
}

size_t ldb_batch_bytes(const struct ldb_batch *batch)
{
    return batch->batch.ApproximateSize();
}

void ldb_batch_clear(struct ldb_batch *batch)
{
    batch->batch.Clear();
}

enum err ldb_write(struct ldb *db, struct ldb_batch *batch, bool sync, struct error *err)
{
    enum err failure = ldb_failure(db);
    if (failure)
        return (enum err)error_set(err, failure, "store %s takes no writes since one failed (%s)",
                                   db->name, err_text(failure));
    leveldb::WriteOptions wo;
    wo.sync = sync;
    Status s = db->db->Write(wo, &batch->batch);
    if (s.ok())
        return ERR_OK;
    enum err rc = code_of(s);
    db->failure.store(rc);
    return fail(err, rc, db->name, s);
}

struct ldb_view *ldb_view_open(struct ldb *db)
{
    db->held.fetch_add(1);
    return (struct ldb_view *)(void *)const_cast<leveldb::Snapshot *>(db->db->GetSnapshot());
}

void ldb_view_close(struct ldb *db, struct ldb_view *view)
{
    if (!view)
        return;
    db->db->ReleaseSnapshot((const leveldb::Snapshot *)(void *)view);
    db->held.fetch_sub(1);
}

struct ldb_iter *ldb_iter_open(struct ldb *db, const struct ldb_view *view, bool fill_cache)
{
    db->held.fetch_add(1);
    auto it = db->db->NewIterator(read_options(view, fill_cache));
    return new ldb_iter{ db, std::unique_ptr<leveldb::Iterator>(it) };
}

void ldb_iter_close(struct ldb_iter *it)
{
    if (!it)
        return;
    struct ldb *db = it->db;
    delete it;
    db->held.fetch_sub(1);
}

void ldb_iter_seek(struct ldb_iter *it, struct bytes key)
{
    if (key.size)
        it->it->Seek(slice(key));
    else
        it->it->SeekToFirst();
}

void ldb_iter_next(struct ldb_iter *it)
{
    it->it->Next();
}

bool ldb_iter_valid(const struct ldb_iter *it)
{
    return it->it->Valid();
}

struct bytes ldb_iter_key(const struct ldb_iter *it)
{
    return bytes_of_slice(it->it->key());
}

struct bytes ldb_iter_value(const struct ldb_iter *it)
{
    return bytes_of_slice(it->it->value());
}

enum err ldb_iter_status(const struct ldb_iter *it, struct error *err)
{
    Status s = it->it->status();
    return s.ok() ? ERR_OK : fail(err, code_of(s), it->db->name, s);
}

void ldb_compact(struct ldb *db, struct bytes from, struct bytes to)
{
    Slice first = slice(from), last = slice(to);
    db->db->CompactRange(from.size ? &first : nullptr, to.size ? &last : nullptr);
}

uint64_t ldb_approximate_bytes(struct ldb *db, struct bytes from, struct bytes to)
{
    leveldb::Range range(slice(from), slice(to));
    uint64_t bytes = 0;
    db->db->GetApproximateSizes(&range, 1, &bytes);
    return bytes;
}

bool ldb_property(struct ldb *db, const char *name, char *out, size_t size)
{
    std::string value;
    if (!db->db->GetProperty(name, &value))
        return false;
    snprintf(out, size, "%s", value.c_str());
    return true;
}

void ldb_stats_read(const struct ldb *db, struct ldb_stats *out)
{
    const Shared &s = db->env.shared;
    for (int i = 0; i < LDB_FILE_KINDS; i++) {
        const Counters &c = s.files[i];
        out->files[i] = { c.reads, c.read_bytes, c.writes, c.write_bytes, c.syncs };
    }
    out->open_tables = s.open_tables;
    out->open_table_bytes = s.open_table_bytes;
    out->readaheads = s.readaheads;
}
