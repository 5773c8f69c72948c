// TenantShares: what each tenant got while it had work. A tenant that comes back counts as the least served one, so
// that idleness saves nothing up.
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

namespace fastserve {

class TenantShares {
 public:
  // One plan: begin(), seen() for each sequence's tenant, settle(); then beyond_least_ns() and charge().
  void begin() {
    for (Tenant& tenant : tenants_) tenant.was_active = std::exchange(tenant.is_active, false);
  }
  void seen(uint64_t id) {
    if (last_ < tenants_.size() && tenants_[last_].id == id) {
      tenants_[last_].is_active = true;
      return;
    }
    auto place = find(id);
    if (place == tenants_.end() || place->id != id) place = tenants_.insert(place, {id, 0, false, false});
    place->is_active = true;
    last_ = static_cast<size_t>(place - tenants_.begin());
  }
  void settle() {
    std::erase_if(tenants_, [](const Tenant& tenant) { return !tenant.is_active; });
    last_ = 0;
    double least_of_old = -1;
    for (const Tenant& tenant : tenants_) {
      if (tenant.was_active && (least_of_old < 0 || tenant.served_ns < least_of_old)) least_of_old = tenant.served_ns;
    }
    least_ns_ = std::max(least_of_old, 0.0);
    for (Tenant& tenant : tenants_) {
      if (!tenant.was_active) tenant.served_ns = least_ns_;
    }
  }
  size_t count() const { return tenants_.size(); }
  double beyond_least_ns(uint64_t id) const {
    const auto place = std::lower_bound(tenants_.begin(), tenants_.end(), id, is_before);
    return place != tenants_.end() && place->id == id ? place->served_ns - least_ns_ : 0;
  }
  void charge(uint64_t id, double service_ns) {
    const auto place = find(id);
    if (place != tenants_.end() && place->id == id) place->served_ns += service_ns;
  }

 private:
  struct Tenant {
    uint64_t id = 0;
    double served_ns = 0;
    bool is_active = false, was_active = false;
  };
  static bool is_before(const Tenant& tenant, uint64_t id) { return tenant.id < id; }
  std::vector<Tenant>::iterator find(uint64_t id) {
    return std::lower_bound(tenants_.begin(), tenants_.end(), id, is_before);
  }

  std::vector<Tenant> tenants_;  // by id; those with work
  size_t last_ = 0;
  double least_ns_ = 0;
};

}  // namespace fastserve
