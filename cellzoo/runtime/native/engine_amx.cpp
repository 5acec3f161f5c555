#define CELLZOO_BFLOAT16
#include "walk.h"

namespace cellzoo {

extern const Engine amx_engine = make_engine();

}  // namespace cellzoo
