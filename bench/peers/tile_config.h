// Forced into llama.cpp's sources when it is built: GCC before 13 declares eight bytes of AMX's tile configuration as
// read where 64 are, drops the stores of the others, and the program dies of a protection fault.
#pragma once
#if defined(__AMX_TILE__) && defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
#include <immintrin.h>
#undef _tile_loadconfig
#define _tile_loadconfig(config) __asm__ volatile("ldtilecfg %0" ::"m"(*(const char(*)[64])(config)))
#endif
