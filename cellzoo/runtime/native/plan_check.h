// Whether the parts of a plan fit each other: widths, kinds of views, operands of instructions.
#pragma once

#include "plan.h"

namespace cellzoo {

bool plan_fits(const Plan &plan);

}  // namespace cellzoo
