// Reads an encoded plan and checks every index in it, so that a wrong encoding is an error, never a crash.
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

// Null where the code is no plan.
PlanPointer read_plan(const int64_t *code, int64_t length);

const Plan &plan_of(const PlanStorage &storage);

}  // namespace cellzoo
