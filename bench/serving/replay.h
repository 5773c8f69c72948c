// The same arrivals on the real engine, in real time, and in the simulator.
#pragma once
#include "experiment.h"
#include "host.h"

namespace fastserve::serving {

// Submits each request at its time and takes events until the last one ends.
simulate::SimulationResult replay(Host& host, const std::vector<simulate::SimulatedRequest>& requests);

// Percentiles of both beside each other, all and by length of the answer. Returns the table.
std::string compare(const simulate::Summary& real, const simulate::Summary& simulated);

}  // namespace fastserve::serving
