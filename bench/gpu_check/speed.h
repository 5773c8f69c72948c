// How fast the device's products are, at the shapes of models: shares of its memory's bandwidth, and operations a
// second.
#pragma once
#include <string>
#include <vector>

namespace fastserve::test {

struct Measurement {
  std::string name;
  double value = 0;
  std::string unit;
  double share = 0;  // of the device's bandwidth; 0: none to compare with
};

// Decode steps' products (a graph of layers whose weights exceed the caches) and prefill's. Names what failed.
std::vector<Measurement> measure_speed(std::string& failure);
// Grows by nothing: allocates, fills and releases memory `cycles` times; bytes that the device has less afterwards.
long long leaked_bytes(int cycles, std::string& failure);

}  // namespace fastserve::test
