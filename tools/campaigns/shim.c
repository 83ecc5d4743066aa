/* Makes the n-th call of one kind below a folder fail: a disk that breaks, by LD_PRELOAD.
 *
 * FAULT_CALL   open, read, write, fsync, rename or mkdir; without it nothing happens
 * FAULT_BELOW  absolute folder
 * FAULT_NTH    which call fails, from 1; later ones fail as well if FAULT_LASTS is set
 * FAULT_ERROR  errno; 0 for half of the bytes, of read and write
 * FAULT_FIRED  file that is made when the call fails
 *
 * The environment is read at each call, so that a process may set it after a fork.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_int calls;

static int below(const char *path) {
  const char *folder = getenv("FAULT_BELOW");
  char full[2 * PATH_MAX];
  if (!folder || !path) return 0;
  if (path[0] != '/') {
    char here[PATH_MAX];
    if (!getcwd(here, sizeof here)) return 0;
    snprintf(full, sizeof full, "%s/%s", here, path);
    path = full;
  }
  size_t size = strlen(folder);
  return !strncmp(path, folder, size) && (path[size] == '/' || !path[size]);
}

static int opened_below(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
  if (size <= 0 || path[0] != '/') return 0; /* a pipe or a timer has no path */
  path[size] = 0;
  return below(path);
}

/* -1: let it pass; else the error number. */
static int due(const char *call, const char *path, int fd) {
  const char *wanted = getenv("FAULT_CALL");
  if (!wanted || strcmp(wanted, call)) return -1;
  if (!(path ? below(path) : opened_below(fd))) return -1;
  const char *nth = getenv("FAULT_NTH"), *error = getenv("FAULT_ERROR");
  int number = atomic_fetch_add(&calls, 1) + 1, first = nth ? atoi(nth) : 1;
  if (number < first || (number > first && !getenv("FAULT_LASTS"))) return -1;
  const char *fired = getenv("FAULT_FIRED");
  if (fired) {
    int made = syscall(SYS_openat, AT_FDCWD, fired, O_CREAT | O_WRONLY, 0644);
    if (made >= 0) syscall(SYS_close, made);
  }
  return error ? atoi(error) : EIO;
}

#define REAL(name) \
  static __typeof__(name) *real; \
  if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

#define FAIL(call, path, fd) \
  do { \
    int number = due(call, path, fd); \
    if (number > 0) { \
      errno = number; \
      return -1; \
    } \
  } while (0)

#define MODE(flags) \
  mode_t mode = 0; \
  if ((flags) & (O_CREAT | O_TMPFILE)) { \
    va_list rest; \
    va_start(rest, flags); \
    mode = va_arg(rest, mode_t); \
    va_end(rest); \
  }

int open(const char *path, int flags, ...) {
  REAL(open); MODE(flags)
  FAIL("open", path, 0);
  return real(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  REAL(open64); MODE(flags)
  FAIL("open", path, 0);
  return real(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...) {
  REAL(openat); MODE(flags)
  FAIL("open", path, 0);
  return real(folder, path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) {
  REAL(openat64); MODE(flags)
  FAIL("open", path, 0);
  return real(folder, path, flags, mode);
}

#define MOVES_BYTES(call) \
  int number = due(call, NULL, fd); \
  if (number > 0) { \
    errno = number; \
    return -1; \
  } \
  if (!number && size > 1) size /= 2;

ssize_t read(int fd, void *bytes, size_t size) {
  REAL(read);
  MOVES_BYTES("read")
  return real(fd, bytes, size);
}

ssize_t pread64(int fd, void *bytes, size_t size, off64_t at) {
  REAL(pread64);
  MOVES_BYTES("read")
  return real(fd, bytes, size, at);
}

ssize_t write(int fd, const void *bytes, size_t size) {
  REAL(write);
  MOVES_BYTES("write")
  return real(fd, bytes, size);
}

ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
  REAL(pwrite64);
  MOVES_BYTES("write")
  return real(fd, bytes, size, at);
}

int fsync(int fd) {
  REAL(fsync);
  FAIL("fsync", NULL, fd);
  return real(fd);
}

int rename(const char *from, const char *to) {
  REAL(rename);
  FAIL("rename", to, 0);
  return real(from, to);
}

int mkdir(const char *path, mode_t mode) {
  REAL(mkdir);
  FAIL("mkdir", path, 0);
  return real(path, mode);
}
