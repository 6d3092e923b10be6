/* Loaded with LD_PRELOAD into volfs' processes: counts the calls that change something, of all threads together, and
 * ends the process at a chosen one. What to do is in a file shared with the test; see steps.py, which has the same layout.
 *
 * Whatever Python, ctypes, LMDB and libfuse do to the world goes through these functions of the C library. Not counted:
 * what is logged (descriptors 0 to 2), and single bytes on sockets, with which threads of a process wake each other.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { BEFORE, AFTER, TORN, WITH_PARENT };
enum { KEPT = 4096, NAME = 16 };

struct plan {
    int64_t pid;      /* whose calls count; -1: of the first process that makes one; 0: of none */
    int64_t spared;   /* never this one's */
    int64_t at;       /* the call to end at, from 1 on; 0: only count */
    int64_t how;
    int64_t counted;
    int64_t struck;
    char names[KEPT][NAME];
};

static struct plan *plan;

__attribute__((constructor)) static void open_plan(void) {
    const char *path = getenv("VOLFS_STEPS");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared != MAP_FAILED) plan = shared;
}

static int is_the_step(const char *name) {
    if (!plan || plan->pid == 0) return 0;
    int64_t me = getpid(), nobody = -1;
    if (plan->pid == -1 && me != plan->spared) __atomic_compare_exchange_n(&plan->pid, &nobody, me, 0, 5, 5);
    if (plan->pid != me) return 0;
    int64_t number = __atomic_add_fetch(&plan->counted, 1, 5);
    if (number <= KEPT) strncpy(plan->names[number - 1], name, NAME - 1);
    return plan->at == number;
}

static void end(void) {
    plan->struck = plan->at;
    if (plan->how == WITH_PARENT) kill(getppid(), SIGKILL);
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

#define STEP(type, name, parameters, arguments, counts, torn)               \
    type name parameters {                                                 \
        static type(*real) parameters;                                     \
        if (!real) real = (type(*) parameters)dlsym(RTLD_NEXT, #name);     \
        int step = (counts) && is_the_step(#name);                         \
        if (step && plan->how == TORN) { torn; }                           \
        if (step && plan->how != AFTER) end();                             \
        type result = real arguments;                                      \
        if (step) end();                                                   \
        return result;                                                     \
    }
#define CALL(name, parameters, arguments) STEP(int, name, parameters, arguments, 1, )

CALL(mkdir, (const char *p, mode_t m), (p, m))
CALL(mkdirat, (int d, const char *p, mode_t m), (d, p, m))
CALL(rmdir, (const char *p), (p))
CALL(unlink, (const char *p), (p))
CALL(unlinkat, (int d, const char *p, int f), (d, p, f))
CALL(rename, (const char *a, const char *b), (a, b))
CALL(renameat, (int d, const char *a, int e, const char *b), (d, a, e, b))
CALL(renameat2, (int d, const char *a, int e, const char *b, unsigned f), (d, a, e, b, f))
CALL(link, (const char *a, const char *b), (a, b))
CALL(linkat, (int d, const char *a, int e, const char *b, int f), (d, a, e, b, f))
CALL(symlink, (const char *a, const char *b), (a, b))
CALL(symlinkat, (const char *a, int d, const char *b), (a, d, b))
CALL(chmod, (const char *p, mode_t m), (p, m))
CALL(fchmod, (int d, mode_t m), (d, m))
CALL(fchmodat, (int d, const char *p, mode_t m, int f), (d, p, m, f))
CALL(fsync, (int d), (d))
CALL(fdatasync, (int d), (d))
CALL(msync, (void *a, size_t n, int f), (a, n, f))
CALL(ftruncate, (int d, off_t n), (d, n))
CALL(ftruncate64, (int d, off64_t n), (d, n))
CALL(posix_fallocate64, (int d, off64_t o, off64_t n), (d, o, n))
CALL(mount, (const char *s, const char *t, const char *k, unsigned long f, const void *o), (s, t, k, f, o))
CALL(umount2, (const char *t, int f), (t, f))
CALL(bind, (int s, const struct sockaddr *a, socklen_t n), (s, a, n))
CALL(listen, (int s, int n), (s, n))
CALL(connect, (int s, const struct sockaddr *a, socklen_t n), (s, a, n))

STEP(ssize_t, write, (int d, const void *b, size_t n), (d, b, n), d > 2, real(d, b, n / 2))
STEP(ssize_t, pwrite, (int d, const void *b, size_t n, off_t o), (d, b, n, o), 1, real(d, b, n / 2, o))
STEP(ssize_t, pwrite64, (int d, const void *b, size_t n, off64_t o), (d, b, n, o), 1, real(d, b, n / 2, o))
STEP(ssize_t, writev, (int d, const struct iovec *v, int n), (d, v, n), d > 2, real(d, v, n / 2))
STEP(ssize_t, pwritev, (int d, const struct iovec *v, int n, off_t o), (d, v, n, o), 1, real(d, v, n / 2, o))
STEP(ssize_t, send, (int s, const void *b, size_t n, int f), (s, b, n, f), n > 1, real(s, b, n / 2, f))
STEP(ssize_t, sendmsg, (int s, const struct msghdr *m, int f), (s, m, f), 1, )

static int opens(const char *name, int flags) { return flags & (O_CREAT | O_TRUNC) ? is_the_step(name) : 0; }

#define OPEN(name, parameters, arguments)                                  \
    int name parameters {                                                  \
        static int(*real) parameters;                                      \
        if (!real) real = (int(*) parameters)dlsym(RTLD_NEXT, #name);      \
        mode_t mode = 0;                                                   \
        if (flags & (O_CREAT | __O_TMPFILE)) {                             \
            va_list rest;                                                  \
            va_start(rest, flags);                                         \
            mode = va_arg(rest, mode_t);                                   \
            va_end(rest);                                                  \
        }                                                                  \
        int step = opens(#name, flags);                                    \
        if (step && plan->how != AFTER) end();                             \
        int result = real arguments;                                       \
        if (step) end();                                                   \
        return result;                                                     \
    }
OPEN(open, (const char *p, int flags, ...), (p, flags, mode))
OPEN(open64, (const char *p, int flags, ...), (p, flags, mode))
OPEN(openat, (int d, const char *p, int flags, ...), (d, p, flags, mode))
OPEN(openat64, (int d, const char *p, int flags, ...), (d, p, flags, mode))

/* mount(2)'s newer relatives, which volfs calls by number: open_tree, move_mount, mount_setattr. */
long syscall(long number, ...) {
    static long (*real)(long, ...);
    if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    long a[6];
    va_list rest;
    va_start(rest, number);
    for (int i = 0; i < 6; i++) a[i] = va_arg(rest, long);
    va_end(rest);
    int step = (number == 428 || number == 429 || number == 442)
        && is_the_step(number == 428 ? "open_tree" : number == 429 ? "move_mount" : "mount_setattr");
    if (step && plan->how != AFTER) end();
    long result = real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (step) end();
    return result;
}
