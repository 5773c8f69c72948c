// The report page stands alone, and shows every policy for every range of lengths.
#include "report.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/json.h"
#include "support/temporary_folder.h"

namespace fastserve::simulate {
namespace {

size_t count_of(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + part.size())) ++count;
  return count;
}

Report small_report() {
  Report report;
  report.workload = "heavy";
  report.profile = "cpu";
  report.slots = 16;
  report.capacities = {1};
  Setting setting{load_profile("cpu").take(), LengthSource::from_mix("heavy").take(), {}, 60, false};
  for (const char* policy : {"fcfs", "adaptive"}) {
    for (const double load : {0.5, 1.0}) {
      report.rows.push_back({policy, load, 1, run_at(setting, policy, 10 * load, 1).take().summary, 3});
    }
  }
  return report;
}

TEST(ReportTest, ThePageStandsAlone) {
  const Report report = small_report();
  const std::string html = to_html(report);
  for (const char* outside : {"http", "src=", "href=", "<script", "@import", "url("}) {
    EXPECT_EQ(html.find(outside), std::string::npos) << outside;
  }
  const Summary& summary = report.rows[0].summary;
  const size_t charts = 7 * (summary.by_output.size() + summary.by_prompt.size());
  EXPECT_EQ(count_of(html, "<svg"), charts);
  EXPECT_EQ(count_of(html, "</svg>"), charts);
  EXPECT_EQ(count_of(html, "adaptive, load 1.00"), charts);  // a point of each chart says what it is
  EXPECT_EQ(count_of(html, "<title>fcfs, load 0.50"), charts);
  EXPECT_EQ(html.find("nan"), std::string::npos);
  EXPECT_EQ(html.find("inf"), std::string::npos);
}

TEST(ReportTest, JsonHasWhatWasPromised) {
  const Report report = small_report();
  const json::Document document = json::parse(to_json(report), "report").take();
  const json::Value results = document.root()["results"];
  ASSERT_EQ(results.size(), report.rows.size());
  for (const char* key :
       {"load", "seed", "mean_completion_s", "p95_completion_s", "p99_completion_s", "p99_ttft_s", "rate_at_slo"}) {
    EXPECT_TRUE(results.at(0)[key].number().has_value()) << key;
  }
  EXPECT_EQ(results.at(0)["policy"].string(), "fcfs");
  EXPECT_TRUE(results.at(0)["by_output_tokens"].at(0)["gap_s"]["p95"].number().has_value());
}

// A profile that was written is read as it was.
TEST(ProfileTest, FilesBringProfilesBack) {
  CostProfile profile = load_profile("cpu").take();
  profile.decode_correction.points = {{1, -5e5}, {16, 2.5e5}};
  const test::TemporaryFolder folder;
  const std::string path = folder.path() + "/profile.json";
  std::ofstream(path, std::ios::binary) << to_json(profile);
  const CostProfile read = load_profile(path).take();
  for (const StepWork& work : {StepWork{.decode_rows = 1, .context_tokens = 100}, StepWork{.prefill_tokens = 500},
                               StepWork{20, 8, 4000, 3000}, StepWork{0, 64, 9, 0}}) {
    EXPECT_NEAR(read.step_ns(work), profile.step_ns(work), 1);
  }
  EXPECT_NEAR(profile.step_ns({.decode_rows = 1}) - profile.cost.predict_ns({.decode_rows = 1}), -5e5, 1);
  EXPECT_NEAR(profile.step_ns({.decode_rows = 6}) - profile.cost.predict_ns({.decode_rows = 6}), -2.5e5, 1);
  EXPECT_EQ(read.kv_tokens, profile.kv_tokens);
  for (const char* wrong : {"{}", "[", R"({"step_us":-1})"}) {
    std::ofstream(path, std::ios::binary) << wrong;
    EXPECT_EQ(load_profile(path).status().code(), StatusCode::kCorrupt) << wrong;
  }
  std::string text = to_json(profile);
  text.replace(text.find("[[1"), 3, "[[99");
  std::ofstream(path, std::ios::binary) << text;
  EXPECT_EQ(load_profile(path).status().code(), StatusCode::kCorrupt) << "rows that do not ascend";
}

}  // namespace
}  // namespace fastserve::simulate
