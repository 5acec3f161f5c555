#include "walk.h"

namespace cellzoo {

extern const Engine avx512_engine = make_engine();

}  // namespace cellzoo
