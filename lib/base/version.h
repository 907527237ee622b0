/* lib/base/version.h
 *
 * The version of this source tree.
 */
#ifndef LARDER_BASE_VERSION_H
#define LARDER_BASE_VERSION_H

#define LARDER_VERSION "0.1.0"

#endif
