#define CELLZOO_BFLOAT16
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"  // of what GCC's own headers leave undefined
#endif
#include "walk.h"

namespace cellzoo {

extern const Engine amx_engine = make_engine();

}  // namespace cellzoo
