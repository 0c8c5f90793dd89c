/* A camera of a machine that has none: the part of the kernel that FFmpeg's v4l2 device talks to.
 *
 * Loaded before the C library (LD_PRELOAD), it answers for one device: opening it gives a file in
 * memory that holds the buffers, and ioctl hands the frames of a file out, each when it is its turn.
 *
 *   CAMERA_DEVICE  /dev/video7     what may be opened; everything else is left to the real system
 *   CAMERA_FILE    frames.raw      sizes and frames: each a 32 bit length, then so many bytes
 *   CAMERA_FORMAT  YUYV | MJPG
 *   CAMERA_SIZE    96 64
 *   CAMERA_RATE    25
 *   CAMERA_FAULT   unplugged: gone after the last frame | busy: another program has it |
 *                  forbidden: to this user | radio: it gives no pictures |
 *                  broken: every third buffer is marked as damaged
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { BUFFERS = 4 };

static int camera = -1, queue[BUFFERS], queued, streaming;
static unsigned width, height, rate, room, format;
static unsigned char *frames, *memory, *next_frame, *end;
static uint32_t taken;
static struct timespec began;

static int is(const char *name, const char *value) {
    const char *set = getenv(name);
    return set && !strcmp(set, value);
}

static int refuse(int error) {
    errno = error;
    return -1;
}

static int plug_in(void) {
    FILE *file = fopen(getenv("CAMERA_FILE"), "rb");
    const char *four = getenv("CAMERA_FORMAT");
    if (!file || sscanf(getenv("CAMERA_SIZE"), "%u %u", &width, &height) != 2) abort();
    rate = atoi(getenv("CAMERA_RATE"));
    format = v4l2_fourcc(four[0], four[1], four[2], four[3]);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    rewind(file);
    frames = malloc(size);
    if (fread(frames, 1, size, file) != (size_t)size) abort();
    fclose(file);
    next_frame = frames, end = frames + size;
    room = (width * height * 2 + 4095) / 4096 * 4096; /* buffers begin on pages */
    camera = memfd_create("camera", 0);
    if (ftruncate(camera, (off_t)BUFFERS * room)) abort();
    memory = mmap(NULL, (size_t)BUFFERS * room, PROT_WRITE, MAP_SHARED, camera, 0);
    if (memory == MAP_FAILED) abort();
    return camera;
}

static int opened(const char *path, int flags, int mode, const char *call) {
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, call);
    const char *device = getenv("CAMERA_DEVICE");
    if (!device || strcmp(path, device)) return real(path, flags, mode);
    return is("CAMERA_FAULT", "forbidden") ? refuse(EACCES) : plug_in();
}

#define OPEN(name)                                                                                 \
    int name(const char *path, int flags, ...) {                                                   \
        va_list more;                                                                              \
        va_start(more, flags);                                                                     \
        int mode = flags & (O_CREAT | __O_TMPFILE) ? va_arg(more, int) : 0;                        \
        va_end(more);                                                                              \
        return opened(path, flags, mode, #name);                                                   \
    }
OPEN(open)
OPEN(open64)

static int describe(struct v4l2_format *asked) {
    if (asked->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return refuse(EINVAL);
    struct v4l2_pix_format *pix = &asked->fmt.pix;
    memset(pix, 0, sizeof *pix);
    pix->width = width, pix->height = height, pix->pixelformat = format;
    pix->field = V4L2_FIELD_NONE, pix->sizeimage = width * height * 2;
    pix->bytesperline = format == V4L2_PIX_FMT_YUYV ? width * 2 : 0;
    return 0;
}

static int take(struct v4l2_buffer *buffer) {
    if (!streaming || !queued) return refuse(EINVAL);
    if (next_frame == end) {
        if (is("CAMERA_FAULT", "unplugged")) return refuse(ENODEV);
        for (;;) pause();
    }
    int64_t turn = began.tv_sec * 1000000000LL + began.tv_nsec + taken * 1000000000LL / rate;
    struct timespec due = {turn / 1000000000, turn % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL)) {}
    uint32_t length;
    memcpy(&length, next_frame, sizeof length);
    buffer->index = queue[0];
    memmove(queue, queue + 1, --queued * sizeof *queue);
    memcpy(memory + (size_t)buffer->index * room, next_frame + sizeof length, length);
    next_frame += sizeof length + length;
    buffer->bytesused = length, buffer->length = room, buffer->memory = V4L2_MEMORY_MMAP;
    buffer->sequence = taken++, buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->timestamp.tv_sec = due.tv_sec, buffer->timestamp.tv_usec = due.tv_nsec / 1000;
    if (is("CAMERA_FAULT", "broken") && taken % 3 == 0) buffer->flags |= V4L2_BUF_FLAG_ERROR;
    return 0;
}

static int answer(unsigned long request, void *data) {
    struct v4l2_buffer *buffer = data;
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *can = data;
        memset(can, 0, sizeof *can);
        strcpy((char *)can->card, "A camera");
        can->device_caps = is("CAMERA_FAULT", "radio")
                               ? V4L2_CAP_RADIO
                               : V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        can->capabilities = can->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_G_INPUT:
        return *(int *)data = 0;
    case VIDIOC_ENUMINPUT: {
        struct v4l2_input *input = data;
        if (input->index) return refuse(EINVAL);
        memset(input, 0, sizeof *input);
        input->type = V4L2_INPUT_TYPE_CAMERA;
        return 0;
    }
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *known = data;
        if (known->index) return refuse(EINVAL);
        known->pixelformat = format;
        return 0;
    }
    case VIDIOC_S_FMT:
        return is("CAMERA_FAULT", "busy") ? refuse(EBUSY) : describe(data);
    case VIDIOC_G_FMT:
    case VIDIOC_TRY_FMT:
        return describe(data);
    case VIDIOC_S_PARM:
    case VIDIOC_G_PARM: {
        struct v4l2_streamparm *pace = data;
        pace->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        pace->parm.capture.timeperframe.numerator = 1;
        pace->parm.capture.timeperframe.denominator = rate;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *wanted = data;
        wanted->count = wanted->count < BUFFERS ? wanted->count : BUFFERS;
        return 0;
    }
    case VIDIOC_QUERYBUF:
        if (buffer->index >= BUFFERS) return refuse(EINVAL);
        buffer->length = room, buffer->m.offset = buffer->index * room;
        return 0;
    case VIDIOC_QBUF:
        if (buffer->index >= BUFFERS || queued == BUFFERS) return refuse(EINVAL);
        queue[queued++] = buffer->index;
        return 0;
    case VIDIOC_DQBUF:
        return take(buffer);
    case VIDIOC_STREAMON:
        streaming = 1;
        return clock_gettime(CLOCK_MONOTONIC, &began);
    case VIDIOC_STREAMOFF:
        return streaming = queued = 0;
    default: /* controls, standards, events: this camera has none */
        return refuse(ENOTTY);
    }
}

int ioctl(int file, unsigned long request, ...) {
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    va_list more;
    va_start(more, request);
    void *data = va_arg(more, void *);
    va_end(more);
    return file == camera && camera >= 0 ? answer((uint32_t)request, data)
                                         : real(file, request, data);
}
