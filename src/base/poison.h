/* Poison: tells AddressSanitizer which bytes of our own blocks nobody may touch now. Without it,
 * nothing. */
#ifndef PENSTOCK_BASE_POISON_H
#define PENSTOCK_BASE_POISON_H

#include <stddef.h>

#ifdef __has_feature
#if __has_feature(address_sanitizer)
#define POISON_WORKS 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#define POISON_WORKS 1
#endif

#ifdef POISON_WORKS

#include <sanitizer/asan_interface.h>

static inline void poison(const void *ptr, size_t size)
{
    ASAN_POISON_MEMORY_REGION(ptr, size);
}

static inline void unpoison(const void *ptr, size_t size)
{
    ASAN_UNPOISON_MEMORY_REGION(ptr, size);
}

#else

static inline void poison(const void *ptr, size_t size)
{
    (void)ptr;
    (void)size;
}

static inline void unpoison(const void *ptr, size_t size)
{
    (void)ptr;
    (void)size;
}

#endif

#endif
