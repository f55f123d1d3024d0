/* Lets the n-th writing call on files under one folder fail, tear, or kill the process: LD_PRELOAD=injector.so.

   The state lies in a shared mapping that is made when the object is loaded: a parent that forks a trial reads how
   many calls were counted even after the trial was killed. `tal_fault_arm` is called in the trial. Calls that glibc
   makes inside itself (the flush of a FILE*) do not pass here; a disk that is really full covers those. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* FAIL: the n-th call fails, those after it work. STAY: a disk that is full from the n-th call on: half of that write
   still has room, later calls that need room fail; with EIO every later call does (a disk that is gone).
   KILL: SIGKILL in place of the n-th call. TEAR: SIGKILL after half of what the n-th call was to do. */
enum mode { OFF = 0, FAIL = 1, STAY = 2, KILL = 3, TEAR = 4 };
/* What a call needs: nothing of the disk, room for something small, or room for data of which a part may fit. */
enum need { NOTHING = 0, ROOM = 1, DATA = 2 };
enum fate { GO_ON = 0, REFUSE = 1, DIE = 2, HALF = 3 };

static struct {
    atomic_int mode, error;
    atomic_long at, seen, hits;
    char last[64], prefix[PATH_MAX];
} * shared;

__attribute__((constructor)) static void prepare(void) {
    void *made = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared = made == MAP_FAILED ? NULL : made;
}

void tal_fault_arm(const char *prefix, int mode, long at, int error) {
    shared->mode = OFF;
    snprintf(shared->prefix, sizeof shared->prefix, "%s", prefix);
    shared->at = at;
    shared->error = error;
    shared->seen = 0;
    shared->hits = 0;
    shared->last[0] = 0;
    shared->mode = mode;
}
long tal_fault_seen(void) { return shared->seen; }
long tal_fault_hits(void) { return shared->hits; }
const char *tal_fault_last(void) { return shared->last; }

static int below(const char *path) {
    size_t n = strlen(shared->prefix);
    return n > 0 && strncmp(path, shared->prefix, n) == 0 && (path[n] == '/' || path[n] == 0);
}

static int name_of(int fd, char *path) {
    char link[48];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, PATH_MAX - 1);
    path[n > 0 ? n : 0] = 0;
    return n > 0;
}

static int watching(void) { return shared != NULL && shared->mode != OFF; }

static int on_fd(int fd) {
    char path[PATH_MAX];
    return watching() && name_of(fd, path) && below(path);
}

static int on_path(int dir, const char *path) {
    char whole[2 * PATH_MAX], base[PATH_MAX];
    if (!watching() || path == NULL) return 0;
    if (path[0] == '/') return below(path);
    if (dir == AT_FDCWD ? getcwd(base, sizeof base) == NULL : !name_of(dir, base)) return 0;
    snprintf(whole, sizeof whole, "%s/%s", base, path);
    return below(whole);
}

static enum fate due(const char *name, enum need need) {
    long n = atomic_fetch_add(&shared->seen, 1) + 1;
    int mode = shared->mode;
    if (mode == STAY ? n < shared->at || (need == NOTHING && shared->error != EIO) : n != shared->at) return GO_ON;
    long before = atomic_fetch_add(&shared->hits, 1);
    if (before == 0) snprintf(shared->last, sizeof shared->last, "%s", name);
    if (mode == KILL) raise(SIGKILL);
    if (mode == TEAR) return DIE;
    if (mode == STAY && before == 0 && need == DATA && shared->error == ENOSPC) return HALF;
    errno = shared->error;
    return REFUSE;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (real == NULL) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

/* `whole` is the real call, `part` what is done of it where it tears or has half of its room. */
#define GUARDED(name, ours, need, bad, whole, part) \
    if (ours) { \
        enum fate fate = due(#name, need); \
        if (fate == REFUSE) return bad; \
        if (fate == HALF) return part; \
        if (fate == DIE) { \
            __typeof__(whole) done = part; \
            (void)done; \
            raise(SIGKILL); \
        } \
    } \
    return whole

ssize_t write(int fd, const void *data, size_t size) {
    REAL(write);
    GUARDED(write, on_fd(fd), DATA, -1, real(fd, data, size), real(fd, data, (size + 1) / 2));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(pwrite);
    GUARDED(pwrite, on_fd(fd), DATA, -1, real(fd, data, size, at), real(fd, data, (size + 1) / 2, at));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { return pwrite(fd, data, size, at); }

ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(writev);
    GUARDED(writev, on_fd(fd), DATA, -1, real(fd, parts, count), real(fd, parts, (count + 1) / 2));
}

/* As on Linux, the descriptor is gone after a close that failed. Files that are only read are not counted. */
static int written(int fd) {
    int flags = fcntl(fd, F_GETFL);
    return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY && on_fd(fd);
}

static int closed(int (*real)(int), int fd) {
    int error = errno;
    real(fd);
    errno = error;
    return -1;
}

int close(int fd) {
    REAL(close);
    GUARDED(close, watching() && written(fd), NOTHING, closed(real, fd), real(fd), real(fd));
}

int fsync(int fd) {
    REAL(fsync);
    GUARDED(fsync, on_fd(fd), NOTHING, -1, real(fd), real(fd));
}

int fdatasync(int fd) {
    REAL(fdatasync);
    GUARDED(fdatasync, on_fd(fd), NOTHING, -1, real(fd), real(fd));
}

int ftruncate(int fd, off_t size) {
    REAL(ftruncate);
    GUARDED(ftruncate, on_fd(fd), NOTHING, -1, real(fd, size), real(fd, size));
}

int ftruncate64(int fd, off64_t size) { return ftruncate(fd, size); }

static int to_write(int flags) { return (flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC)) != 0; }
static enum need for_room(int flags) { return flags & O_CREAT ? ROOM : NOTHING; }

#define MODE \
    va_list more; \
    va_start(more, flags); \
    mode_t mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, mode_t) : 0; \
    va_end(more)

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        MODE; \
        REAL(name); \
        GUARDED(name, to_write(flags) && on_path(AT_FDCWD, path), for_room(flags), -1, real(path, flags, mode), \
                real(path, flags, mode)); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int dir, const char *path, int flags, ...) { \
        MODE; \
        REAL(name); \
        GUARDED(name, to_write(flags) && on_path(dir, path), for_room(flags), -1, real(dir, path, flags, mode), \
                real(dir, path, flags, mode)); \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name) \
    FILE *name(const char *path, const char *how) { \
        REAL(name); \
        GUARDED(name, strpbrk(how, "wa+") != NULL && on_path(AT_FDCWD, path), ROOM, NULL, real(path, how), \
                real(path, how)); \
    }
FOPEN(fopen)
FOPEN(fopen64)

int rename(const char *from, const char *to) {
    REAL(rename);
    GUARDED(rename, on_path(AT_FDCWD, to) || on_path(AT_FDCWD, from), ROOM, -1, real(from, to), real(from, to));
}

int renameat(int a, const char *from, int b, const char *to) {
    REAL(renameat);
    GUARDED(renameat, on_path(b, to) || on_path(a, from), ROOM, -1, real(a, from, b, to), real(a, from, b, to));
}

int unlink(const char *path) {
    REAL(unlink);
    GUARDED(unlink, on_path(AT_FDCWD, path), NOTHING, -1, real(path), real(path));
}

int mkdir(const char *path, mode_t mode) {
    REAL(mkdir);
    GUARDED(mkdir, on_path(AT_FDCWD, path), ROOM, -1, real(path, mode), real(path, mode));
}
