/* lib/core/env.h
 *
 * What a subsystem stands on, handed to every create function instead of globals, so that a test
 * builds its own. Pointers are borrowed and outlive whatever was created with them; a test leaves
 * NULL what its subject does not use.
 * Thread: loop only.
 */
#ifndef LARDER_CORE_ENV_H
#define LARDER_CORE_ENV_H

struct loop;
struct work_pool;
struct governor;
struct config;

struct env {
    struct loop *loop;
    struct work_pool *work;
    struct governor *governor;
    const struct config *config;
};

#endif
