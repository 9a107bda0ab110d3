/* What a fuzz target claims: a false one ends the program, also where assert() is compiled out. */
#ifndef PENSTOCK_FUZZ_CHECK_H
#define PENSTOCK_FUZZ_CHECK_H

#define CHECK(claim)                                                                               \
    do {                                                                                           \
        if (!(claim)) {                                                                            \
            __builtin_trap();                                                                      \
        }                                                                                          \
    } while (0)

#endif
