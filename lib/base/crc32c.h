/* lib/base/crc32c.h
 *
 * CRC-32C (Castagnoli), as in iSCSI: RFC 3720 B.4 has test values. By the processor where it can.
 * Finds accidents, not forgery. Thread: any.
 */
#ifndef LARDER_BASE_CRC32C_H
#define LARDER_BASE_CRC32C_H

#include "base/bytes.h"

/* Goes on from crc, which is 0 at first. */
uint32_t crc32c(uint32_t crc, struct bytes data);
/* The same without help of the processor. */
uint32_t crc32c_plain(uint32_t crc, struct bytes data);

#endif
