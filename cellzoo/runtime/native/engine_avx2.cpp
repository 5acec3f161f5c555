#include "walk.h"

namespace cellzoo {

extern const Engine avx2_engine = make_engine();

}  // namespace cellzoo
