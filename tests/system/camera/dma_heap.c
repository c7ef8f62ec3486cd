/* Stands in for /dev/dma_heap where a machine has none: buffers come from memfd_create(2). For tests only.
 *
 * In: LD_PRELOAD in a process that uses libcamera or picamera2. Out: an open of /dev/dma_heap/... succeeds, DMA_HEAP_IOCTL_ALLOC
 * on it gives a memfd of that length, and what is asked of a DMA buffer does nothing. libcamera, which may not ask udev
 * inside the unit, finds an (empty) list of media devices in sysfs, which a kernel without cameras does not have.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct allocation {
    __u64 len;
    __u32 fd;
    __u32 fd_flags;
    __u64 heap_flags;
};
#define HEAP_ALLOC _IOWR('H', 0x0, struct allocation)
#define IS_BUFFER_REQUEST(request) (_IOC_TYPE(request) == 'b') /* DMA_BUF_IOCTL_SYNC, DMA_BUF_SET_NAME */

static int heap = -1;

static int is_heap(const char *path) { return path && strncmp(path, "/dev/dma_heap/", 14) == 0; }

static int open_heap(void) {
    if (heap < 0)
        heap = memfd_create("dma_heap", MFD_CLOEXEC);
    return fcntl(heap, F_DUPFD_CLOEXEC, 3);
}

static int same_file(int fd) {
    struct stat one, other;
    return heap >= 0 && fstat(fd, &one) == 0 && fstat(heap, &other) == 0 && one.st_ino == other.st_ino &&
           one.st_dev == other.st_dev;
}

#define OPEN(name)                                                                          \
    int name(const char *path, int flags, ...) {                                            \
        static int (*real)(const char *, int, ...);                                         \
        mode_t mode = 0;                                                                    \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                \
            va_list more;                                                                   \
            va_start(more, flags);                                                          \
            mode = va_arg(more, mode_t);                                                    \
            va_end(more);                                                                   \
        }                                                                                   \
        if (is_heap(path))                                                                  \
            return open_heap();                                                             \
        if (!real)                                                                          \
            real = dlsym(RTLD_NEXT, #name);                                                 \
        return real(path, flags, mode);                                                     \
    }
OPEN(open)
OPEN(open64)

int ioctl(int fd, unsigned long request, ...) {
    static int (*real)(int, unsigned long, ...);
    va_list more;
    va_start(more, request);
    void *argument = va_arg(more, void *);
    va_end(more);
    if (request == HEAP_ALLOC && same_file(fd)) {
        struct allocation *wanted = argument;
        int buffer = memfd_create("dma_buf", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (buffer < 0 || ftruncate(buffer, wanted->len) < 0)
            return -1;
        wanted->fd = buffer;
        return 0;
    }
    if (IS_BUFFER_REQUEST(request))
        return 0;
    if (!real)
        real = dlsym(RTLD_NEXT, "ioctl");
    return real(fd, request, argument);
}

#define MEDIA "/sys/bus/media/devices"
#define EMPTY "/mnt"

int stat(const char *path, struct stat *found) {
    static int (*real)(const char *, struct stat *);
    if (!real)
        real = dlsym(RTLD_NEXT, "stat");
    return real(strcmp(path, MEDIA) == 0 ? EMPTY : path, found);
}

DIR *opendir(const char *path) {
    static DIR *(*real)(const char *);
    if (!real)
        real = dlsym(RTLD_NEXT, "opendir");
    return real(strcmp(path, MEDIA) == 0 ? EMPTY : path);
}
