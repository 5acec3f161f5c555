// Decodes a plan and validates every index in it, so that a malformed plan is an error and never a crash.
#pragma once

#include <cstdint>
#include <memory>

#include "plan.h"

namespace cellzoo {

struct PlanStorage;

struct PlanDeleter {
    void operator()(PlanStorage *storage) const;
};

using PlanPointer = std::unique_ptr<PlanStorage, PlanDeleter>;

// Null if the plan is malformed.
PlanPointer read_plan(const int64_t *code, int64_t length);

const Plan &plan_of(const PlanStorage &storage);

}  // namespace cellzoo
