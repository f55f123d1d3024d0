// How hot loops are compiled for more than one kind of processor.
#pragma once

// Each marked function exists once a processor level and the loader takes the best one. Results are
// the same on all: no fast-math, no fused multiply-add (-ffp-contract=off).
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__) && !defined(TAL_NO_CLONES)
#define TAL_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define TAL_CLONES
#endif
