/* Puts what another process draws before libcamera's virtual camera, which by itself only repeats pictures that it read
 * when it started. For tests only.
 *
 * In: the file that LIVE_PICTURES names: a `struct stage`, then two NV12 pictures of `size` bytes. Out: every buffer that
 * the virtual camera has filled holds the newest of the two instead, under a sensor's noise; thirty a second, and none
 * while the camera is unplugged. LD_PRELOAD, beside dma_heap.c.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct stage {
    uint32_t size;
    volatile uint32_t newest;    /* 0 or 1; the other is being drawn */
    volatile uint32_t unplugged; /* frames are held back */
    uint32_t reserved;
};
#define FRAME_NANOSECONDS (1000000000L / 30)
#define LONGEST_HOLD 300 /* frame times: longer than a verification waits; libcamera must get to stop a camera that is gone */
#define NOISY_EVERY 61   /* one sample in so many is off by one level */

static void *filling; /* by the virtual camera's only thread */
static size_t filling_length;

static void *map(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    return (void *)syscall(SYS_mmap, address, length, protection, flags, fd, offset);
}

static const struct stage *stage(void) {
    static const struct stage *found;
    const char *name = getenv("LIVE_PICTURES");
    if (!found && name) {
        int fd = open(name, O_RDONLY | O_CLOEXEC);
        off_t length = fd < 0 ? 0 : lseek(fd, 0, SEEK_END);
        void *start = length > (off_t)sizeof(struct stage) ? map(NULL, length, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
        if (start != MAP_FAILED)
            found = start;
        if (fd >= 0)
            close(fd);
    }
    return found;
}

static void wait_for_the_next_frame(void) {
    static struct timespec due;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (due.tv_sec == 0 || now.tv_sec - due.tv_sec > 1)
        due = now;
    due.tv_nsec += FRAME_NANOSECONDS;
    if (due.tv_nsec >= 1000000000L) {
        due.tv_nsec -= 1000000000L;
        due.tv_sec++;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
}

/* libcamera maps a buffer for writing alone just before it fills it; nothing else here does. */
void *mmap(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    void *start;
    if (protection == PROT_WRITE && flags == MAP_SHARED) {
        int held = 0;
        do
            wait_for_the_next_frame();
        while (stage() && stage()->unplugged && ++held < LONGEST_HOLD);
    }
    start = map(address, length, protection, flags, fd, offset);
    if (protection == PROT_WRITE && flags == MAP_SHARED && start != MAP_FAILED) {
        filling = start;
        filling_length = length;
    }
    return start;
}

void *mmap64(void *address, size_t length, int protection, int flags, int fd, off_t offset) {
    return mmap(address, length, protection, flags, fd, offset);
}

/* No two exposures of a sensor are the same, however still the scene is, or however late the next picture is drawn. */
static void add_noise(uint8_t *luma, size_t length) {
    static uint32_t random = 2463534242u;
    for (size_t at = random % NOISY_EVERY; at < length; at += NOISY_EVERY) {
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        luma[at] += random & 1 ? 1 : -1; /* limited range: there is room at both ends */
    }
}

int munmap(void *address, size_t length) {
    const struct stage *from = stage();
    if (filling && address == filling && from) {
        const char *pictures = (const char *)(from + 1);
        size_t length = from->size < filling_length ? from->size : filling_length;
        memcpy(address, pictures + (size_t)from->newest * from->size, length);
        add_noise(address, length * 2 / 3);
    }
    if (address == filling)
        filling = NULL;
    return (int)syscall(SYS_munmap, address, length);
}
