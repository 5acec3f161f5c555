// Finds the kernels before which the parts of a step must synchronise.
#pragma once

#include "plan.h"

namespace cellzoo {

// Sets `barrier` of kernels in both step phases, in addition to those that the plan has set. Each part owns a range of
// units of every buffer, and only products read units of other parts. So a kernel needs a barrier if one of its
// products reads what was written since the last barrier (read after write), or if it overwrites what a product has
// read since then (write after read), in this step or in the one before.
void set_barriers(const Plan &plan, Kernel *kernels);

}  // namespace cellzoo
