/* Counts the calls of a process that change the disk below one folder, and does harm at one of them.

   Preloaded into a process (LD_PRELOAD). Armed by environment variables when the process starts, or by `faults_arm`
   later; until then every call goes through untouched. Each counted call is one line of the report file:
   "<number> <kind> <name of the call> <path>". A last line "<number> <what was done>" says that it struck.

   Kinds: n a name comes or moves, d bytes change, s bytes are made durable, r a name goes, a attributes change. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum action { WATCH, KILL_BEFORE, KILL_HALF, KILL_AFTER, FAIL_ONCE, FAIL_FROM };
enum verdict { PASS, FAIL, HALF, HALF_THEN_DIE, THEN_DIE };

static char home[PATH_MAX];
static size_t home_length;
static char kinds[8];
static int report = -1, action, error_number;
static long strike_at, counted;

void faults_arm(const char *folder, const char *report_path, long at, int what, int number, const char *which)
{
    strike_at = at;
    action = what;
    error_number = number;
    counted = 0;
    strncpy(kinds, which, sizeof kinds - 1);
    report = (int)syscall(SYS_openat, AT_FDCWD, report_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    strncpy(home, folder, sizeof home - 1);
    home_length = strlen(home);
}

__attribute__((constructor)) static void arm_from_environment(void)
{
    const char *folder = getenv("FAULTS_HOME");
    if (folder)
        faults_arm(folder, getenv("FAULTS_REPORT"), atol(getenv("FAULTS_AT")), atoi(getenv("FAULTS_ACTION")),
                   atoi(getenv("FAULTS_ERRNO")), getenv("FAULTS_KINDS"));
}

static void tell(const char *line)
{
    syscall(SYS_write, report, line, strlen(line));
}

static void die(void)
{
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;)
        pause();
}

static int is_below(const char *path)
{
    return home_length && !strncmp(path, home, home_length) && (path[home_length] == '/' || !path[home_length]);
}

static int is_file_below(int file, char *path)
{
    char link[64];
    if (!home_length)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    path[length < 0 ? 0 : length] = 0;
    return is_below(path);
}

static int is_path_below(int folder, const char *path, char *whole)
{
    char base[PATH_MAX] = "";
    if (!home_length || !path)
        return 0;
    if (path[0] == '/')
        snprintf(whole, PATH_MAX, "%s", path);
    else {
        if (folder == AT_FDCWD ? !getcwd(base, sizeof base) : (is_file_below(folder, base), !base[0]))
            return 0;
        int length = snprintf(whole, PATH_MAX, "%s/%s", base, path);
        if (length >= PATH_MAX)
            return 0;
    }
    return is_below(whole);
}

static enum verdict judge(char kind, const char *call, const char *path)
{
    static const char *const deeds[] = {"", "killed before", "killed half-way", "killed after", "failed", "failed"};
    char line[PATH_MAX + 64];
    long number = __atomic_add_fetch(&counted, 1, __ATOMIC_SEQ_CST);
    int saved = errno, is_first = number == strike_at;
    snprintf(line, sizeof line, "%ld %c %s %s\n", number, kind, call, path);
    tell(line);
    enum verdict verdict = PASS;
    if (action != WATCH && (is_first || (action == FAIL_FROM && number > strike_at)) && strchr(kinds, kind)) {
        snprintf(line, sizeof line, "%ld %s\n", number, deeds[action]);
        tell(line);
        if (action == KILL_BEFORE)
            die();
        if (action == KILL_AFTER)
            verdict = THEN_DIE;
        else if (action == KILL_HALF)
            verdict = HALF_THEN_DIE;
        else
            /* A disk that fills up takes a part of the bytes first. */
            verdict = error_number == ENOSPC && is_first && strstr(call, "write") ? HALF : FAIL;
    }
    errno = saved;
    return verdict;
}

/* What every wrapper does once it knows that its call counts; `half` is the call with half of its bytes. */
#define STRIKE(type, kind, call, path, whole, half)                                                                    \
    do {                                                                                                               \
        enum verdict verdict = judge(kind, call, path);                                                                \
        if (verdict == FAIL) {                                                                                         \
            errno = error_number;                                                                                      \
            return (type)-1;                                                                                           \
        }                                                                                                              \
        type result = verdict == HALF || verdict == HALF_THEN_DIE ? (half) : (whole);                                  \
        if (verdict == THEN_DIE || verdict == HALF_THEN_DIE)                                                           \
            die();                                                                                                     \
        return result;                                                                                                 \
    } while (0)

#define REAL(type, name, ...)                                                                                          \
    static type (*real)(__VA_ARGS__);                                                                                  \
    if (!real)                                                                                                         \
        real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

/* --- opening: counts where it may make a file or empty one --- */

#define MAY_CHANGE (O_CREAT | O_TRUNC)
#define MODE_OF(flags)                                                                                                 \
    mode_t mode = 0;                                                                                                   \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                                           \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        mode = (mode_t)va_arg(more, int);                                                                              \
        va_end(more);                                                                                                  \
    }

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        REAL(int, name, const char *, int, ...);                                                                       \
        MODE_OF(flags)                                                                                                 \
        char whole[PATH_MAX];                                                                                          \
        if (!(flags & MAY_CHANGE) || !is_path_below(AT_FDCWD, path, whole))                                            \
            return real(path, flags, mode);                                                                            \
        STRIKE(int, 'n', #name, whole, real(path, flags, mode), real(path, flags, mode));                              \
    }

#define OPENAT(name)                                                                                                   \
    int name(int folder, const char *path, int flags, ...)                                                             \
    {                                                                                                                  \
        REAL(int, name, int, const char *, int, ...);                                                                  \
        MODE_OF(flags)                                                                                                 \
        char whole[PATH_MAX];                                                                                          \
        if (!(flags & MAY_CHANGE) || !is_path_below(folder, path, whole))                                              \
            return real(folder, path, flags, mode);                                                                    \
        STRIKE(int, 'n', #name, whole, real(folder, path, flags, mode), real(folder, path, flags, mode));              \
    }

OPEN(open)
OPEN(open64)
OPENAT(openat)
OPENAT(openat64)

/* --- calls on open files --- */

#define ON_FILE(type, name, kind, parameters, whole_arguments, half_arguments)                                         \
    type name parameters                                                                                               \
    {                                                                                                                  \
        static type(*real) parameters;                                                                                 \
        if (!real)                                                                                                     \
            real = (type(*) parameters)dlsym(RTLD_NEXT, #name);                                                        \
        char path[PATH_MAX];                                                                                           \
        if (!is_file_below(file, path))                                                                                \
            return real whole_arguments;                                                                               \
        STRIKE(type, kind, #name, path, real whole_arguments, real half_arguments);                                    \
    }

ON_FILE(ssize_t, write, 'd', (int file, const void *data, size_t size), (file, data, size), (file, data, size / 2))
ON_FILE(ssize_t, pwrite, 'd', (int file, const void *data, size_t size, off_t at), (file, data, size, at),
        (file, data, size / 2, at))
ON_FILE(ssize_t, pwrite64, 'd', (int file, const void *data, size_t size, off64_t at), (file, data, size, at),
        (file, data, size / 2, at))
ON_FILE(ssize_t, writev, 'd', (int file, const struct iovec *parts, int number), (file, parts, number),
        (file, parts, (number + 1) / 2))
ON_FILE(ssize_t, pwritev, 'd', (int file, const struct iovec *parts, int number, off_t at), (file, parts, number, at),
        (file, parts, (number + 1) / 2, at))
ON_FILE(ssize_t, pwritev64, 'd', (int file, const struct iovec *parts, int number, off64_t at),
        (file, parts, number, at), (file, parts, (number + 1) / 2, at))
ON_FILE(int, ftruncate, 'd', (int file, off_t size), (file, size), (file, size))
ON_FILE(int, ftruncate64, 'd', (int file, off64_t size), (file, size), (file, size))
ON_FILE(int, fallocate, 'd', (int file, int mode, off_t at, off_t size), (file, mode, at, size),
        (file, mode, at, size))
ON_FILE(int, fallocate64, 'd', (int file, int mode, off64_t at, off64_t size), (file, mode, at, size),
        (file, mode, at, size))
ON_FILE(int, fsync, 's', (int file), (file), (file))
ON_FILE(int, fdatasync, 's', (int file), (file), (file))
ON_FILE(int, fchmod, 'a', (int file, mode_t mode), (file, mode), (file, mode))
ON_FILE(int, futimens, 'a', (int file, const struct timespec times[2]), (file, times), (file, times))
/* The target of a copy is where the disk changes. */
ON_FILE(ssize_t, sendfile, 'd', (int file, int from, off_t *at, size_t size), (file, from, at, size),
        (file, from, at, size / 2))
ON_FILE(ssize_t, sendfile64, 'd', (int file, int from, off64_t *at, size_t size), (file, from, at, size),
        (file, from, at, size / 2))
ON_FILE(ssize_t, copy_file_range, 'd',
        (int from, off64_t *from_at, int file, off64_t *at, size_t size, unsigned flags),
        (from, from_at, file, at, size, flags), (from, from_at, file, at, size / 2, flags))

/* --- calls on names: `changed` is the path that counts --- */

#define ON_NAME(name, kind, folder, changed, parameters, arguments)                                                    \
    int name parameters                                                                                                \
    {                                                                                                                  \
        static int(*real) parameters;                                                                                  \
        if (!real)                                                                                                     \
            real = (int(*) parameters)dlsym(RTLD_NEXT, #name);                                                         \
        char whole[PATH_MAX];                                                                                          \
        if (!is_path_below(folder, changed, whole))                                                                    \
            return real arguments;                                                                                     \
        STRIKE(int, kind, #name, whole, real arguments, real arguments);                                               \
    }

ON_NAME(creat, 'n', AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
ON_NAME(creat64, 'n', AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
ON_NAME(link, 'n', AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_NAME(linkat, 'n', new_folder, to, (int old_folder, const char *from, int new_folder, const char *to, int flags),
        (old_folder, from, new_folder, to, flags))
ON_NAME(symlink, 'n', AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_NAME(symlinkat, 'n', folder, to, (const char *from, int folder, const char *to), (from, folder, to))
ON_NAME(rename, 'n', AT_FDCWD, to, (const char *from, const char *to), (from, to))
ON_NAME(renameat, 'n', new_folder, to, (int old_folder, const char *from, int new_folder, const char *to),
        (old_folder, from, new_folder, to))
ON_NAME(renameat2, 'n', new_folder, to,
        (int old_folder, const char *from, int new_folder, const char *to, unsigned flags),
        (old_folder, from, new_folder, to, flags))
ON_NAME(mkdir, 'n', AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
ON_NAME(mkdirat, 'n', folder, path, (int folder, const char *path, mode_t mode), (folder, path, mode))
ON_NAME(unlink, 'r', AT_FDCWD, path, (const char *path), (path))
ON_NAME(unlinkat, 'r', folder, path, (int folder, const char *path, int flags), (folder, path, flags))
ON_NAME(remove, 'r', AT_FDCWD, path, (const char *path), (path))
ON_NAME(rmdir, 'r', AT_FDCWD, path, (const char *path), (path))
ON_NAME(truncate, 'd', AT_FDCWD, path, (const char *path, off_t size), (path, size))
ON_NAME(truncate64, 'd', AT_FDCWD, path, (const char *path, off64_t size), (path, size))
ON_NAME(chmod, 'a', AT_FDCWD, path, (const char *path, mode_t mode), (path, mode))
ON_NAME(fchmodat, 'a', folder, path, (int folder, const char *path, mode_t mode, int flags),
        (folder, path, mode, flags))
ON_NAME(utimensat, 'a', folder, path, (int folder, const char *path, const struct timespec times[2], int flags),
        (folder, path, times, flags))
