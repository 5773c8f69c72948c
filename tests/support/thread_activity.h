// What the library's threads of this process do, by what the kernel counts of them: exact, on however busy a machine.
#pragma once

#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <thread>

namespace fastserve::test {

struct ThreadActivity {
  std::string state;      // "S" where it sleeps
  uint64_t switches = 0;  // how often it was switched out, of itself or by force
  friend bool operator==(const ThreadActivity&, const ThreadActivity&) = default;
};

// By thread id. A thread takes its name, by which it is found, when it first runs.
inline std::map<pid_t, ThreadActivity> library_thread_activity() {
  std::map<pid_t, ThreadActivity> threads;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task")) {
    std::ifstream file(entry.path() / "status");
    ThreadActivity activity;
    std::string key, name;
    while (file >> key) {
      if (key == "Name:") file >> name;
      if (key == "State:") file >> activity.state;
      uint64_t count = 0;
      if ((key == "voluntary_ctxt_switches:" || key == "nonvoluntary_ctxt_switches:") && file >> count) {
        activity.switches += count;
      }
    }
    if (name.rfind("fsv-", 0) == 0) threads[std::stoi(entry.path().filename())] = activity;
  }
  return threads;
}

// Until `count` library threads have run.
inline std::map<pid_t, ThreadActivity> wait_for_library_threads(size_t count) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  for (;;) {
    auto threads = library_thread_activity();
    if (threads.size() >= count || std::chrono::steady_clock::now() > deadline) return threads;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// Whether the library's threads come to rest: within some windows of half a second there is one in which each of them
// slept all along. One that polls or spins never does.
inline bool library_threads_rest() {
  for (int tries = 0; tries < 40; ++tries) {
    const auto before = library_thread_activity();
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    bool all_asleep = library_thread_activity() == before;
    for (const auto& [thread, activity] : before) all_asleep = all_asleep && activity.state == "S";
    if (all_asleep) return true;
  }
  return false;
}

}  // namespace fastserve::test
