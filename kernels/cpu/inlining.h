// Inlining that kernels depend on: vectors must stay in registers between these functions, which compilers' own limits
// do not grant in functions of this size. FASTSERVE_APART keeps a hot loop a function of its own, with all registers.
#pragma once

#if defined(_MSC_VER) && !defined(__clang__)
#define FASTSERVE_INLINE __forceinline
#define FASTSERVE_APART __declspec(noinline)
#else
#define FASTSERVE_INLINE inline __attribute__((always_inline))
#define FASTSERVE_APART __attribute__((noinline))
#endif

// Before a loop of constant length whose body holds sums in registers.
#if defined(__clang__)
#define FASTSERVE_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define FASTSERVE_UNROLL _Pragma("GCC unroll 32")
#else
#define FASTSERVE_UNROLL
#endif
