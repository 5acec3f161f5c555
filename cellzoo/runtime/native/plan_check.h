// Validates a decoded plan: sizes, kinds of views, operands of instructions.
#pragma once

#include "plan.h"

namespace cellzoo {

bool plan_fits(const Plan &plan);

}  // namespace cellzoo
