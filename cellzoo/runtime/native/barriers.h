// Which kernels of a step must wait for the other parts.
#pragma once

#include "plan.h"

namespace cellzoo {

// Sets `barrier` of the kernels of both step phases, where the plan does not have it already. A part owns columns of
// every buffer, and only products read what others own. So a kernel waits if a product of it reads what was written
// since the last barrier, or if it overwrites what a product has read since: of the step before, too.
void set_barriers(const Plan &plan, Kernel *kernels);

}  // namespace cellzoo
