/* lib/base/base.h
 *
 * What every file may use: attributes, sizes, container_of, and what the build must guarantee.
 */
#ifndef LARDER_BASE_BASE_H
#define LARDER_BASE_BASE_H

#include <assert.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#if defined(NDEBUG)
#error "asserts stay on in release builds"
#endif

/* On-disk formats and hashes are read in place: another byte order or word size needs a port. */
static_assert(sizeof(void *) == 8, "larder needs a 64-bit machine");
static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "larder needs a little-endian machine");

#define KiB (UINT64_C(1) << 10)
#define MiB (UINT64_C(1) << 20)
#define GiB (UINT64_C(1) << 30)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b) ((a) < (b) ? (a) : (b))
#define MAX(a, b) ((a) > (b) ? (a) : (b))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define PRINTF_LIKE(fmt, args) __attribute__((format(printf, fmt, args)))
#define WARN_UNUSED __attribute__((warn_unused_result))
#define UNUSED __attribute__((unused))

#endif
