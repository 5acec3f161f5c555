#include "walk.h"

namespace cellzoo {

extern const Engine baseline_engine = make_engine();

}  // namespace cellzoo
