#include "tal/proposals.hpp"

#include <cmath>
#include <cstring>
#include <optional>
#include <string>

#include "columns.hpp"
#include "sequence.hpp"
#include "simd.hpp"
#include "tal/parallel.hpp"
#include "top_means.hpp"

namespace tal {

TAL_CLONES std::uint64_t detail::above_bits(const double* x, std::size_t n, double threshold) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < n; ++i) bits |= static_cast<std::uint64_t>(x[i] > threshold) << i;
  return bits;
}

namespace {

using detail::at;
using detail::Index;
using detail::refuse;
using detail::Sequence;

void check(const ProposalOptions& o) {
  for (std::size_t i = 0; i < o.sources.size(); ++i) {
    const SourceOptions& s = o.sources[i];
    const std::string name = "sources[" + std::to_string(i) + "].";
    for (double t : s.thresholds) {
      if (!std::isfinite(t)) refuse(name + "thresholds has a value that is not finite");
    }
    if (!(s.outer_ratio >= 0.0) || !std::isfinite(s.outer_ratio)) {
      refuse(name + "outer_ratio is " + std::to_string(s.outer_ratio) + ", must be finite and >= 0");
    }
    if (!std::isfinite(s.class_weight)) refuse(name + "class_weight is not finite");
  }
  if (o.topk_ratio < 1 || o.min_length < 1 || o.upsample < 1) {
    refuse("topk_ratio, min_length and upsample must be at least 1, got " + std::to_string(o.topk_ratio) + ", " +
           std::to_string(o.min_length) + ", " + std::to_string(o.upsample));
  }
  if (std::isnan(o.class_threshold)) refuse("class_threshold is NaN");
}

void check(const SequenceBatch& b, const ProposalOptions& o) {
  if (b.columns < (o.background ? 2 : 1)) {
    refuse("cas has " + std::to_string(b.columns) + " columns, too few for a class");
  }
  for (std::size_t v = 0; v < b.videos; ++v) {
    if (b.offsets[v + 1] < b.offsets[v]) refuse("offsets fall at video " + std::to_string(v));
  }
}

// Names the first value that is not finite. The quick test looks at the exponent bits.
void check_finite(const float* x, Index rows, Index columns, Index first_row, const char* name) {
  constexpr std::uint32_t exponent = 0x7f800000U;
  std::uint32_t broken = 0;
  for (Index i = 0; i < rows * columns; ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, x + i, sizeof bits);
    broken |= static_cast<std::uint32_t>((bits & exponent) == exponent);
  }
  if (broken == 0) return;
  for (Index i = 0; i < rows * columns; ++i) {
    if (std::isfinite(x[i])) continue;
    refuse(std::string(name) + " is not finite at snippet " + std::to_string(first_row + i / columns) +
           (columns > 1 ? ", class " + std::to_string(i % columns) : ""));
  }
}

std::vector<double> scaled(const std::vector<double>& x, Scale scale) {
  if (scale == Scale::none) return x;
  const auto [least, most] = std::minmax_element(x.begin(), x.end());
  double low = *least;
  double range = *most - low;
  if (scale == Scale::relu_minmax) {
    low = std::max(low, 0.0);
    range = std::max(*most, 0.0) - low;
    if (range <= 0.0) range = 1.0;
  }
  std::vector<double> out(x.size(), 0.0);
  if (range > 0.0) {
    for (std::size_t i = 0; i < x.size(); ++i) out[i] = (x[i] - low) / range;
  }
  if (scale == Scale::relu_minmax) {
    for (double& v : out) v = std::min(std::max(v, 0.0), 1.0);
  }
  return out;
}

// Outer-inner contrast of [s, e], both included.
double contrast(const Sequence& w, Index s, Index e, double outer_ratio) {
  const double length = static_cast<double>(e - s + 1);
  const double reach = outer_ratio * length;
  const Index left = static_cast<Index>(std::max(static_cast<double>(s) - reach, 0.0));
  const Index right = static_cast<Index>(std::min(static_cast<double>(e) + reach, static_cast<double>(w.points() - 1)));
  const double before = w.sum(s);
  const double upto = w.sum(e + 1);
  const double inner = (upto - before) / length;
  const Index count = (s - left) + (right - e);
  if (count == 0) return inner;
  const double outer = (before - w.sum(left)) + (w.sum(right + 1) - upto);
  return inner - outer / static_cast<double>(count);
}

// A class's column under each scale that some source asks for.
class ClassSequences {
 public:
  ClassSequences(std::vector<double> raw, Index factor) : raw_(std::move(raw)), factor_(factor) {}

  const Sequence& get(Scale scale) {
    std::optional<Sequence>& slot = made_[static_cast<std::size_t>(scale)];
    if (!slot) {
      slot.emplace(scaled(raw_, scale), factor_);
      slot->prepare_sums();
      slot->prepare_runs();
    }
    return *slot;
  }

 private:
  std::vector<double> raw_;
  Index factor_;
  std::optional<Sequence> made_[3];
};

struct Runs {
  std::vector<std::pair<Index, Index>> of;

  void find(const Sequence& sequence, double threshold, const ProposalOptions& o) {
    of.clear();
    sequence.for_runs(threshold, [&](Index s, Index e) { of.emplace_back(s, e); });
    const bool only_first = of.size() == 1 && of[0] == std::pair<Index, Index>(0, 0);
    if (o.compat_any && only_first) of.clear();
    const auto short_ones = [&](const auto& r) { return r.second - r.first + 1 < o.min_length; };
    of.erase(std::remove_if(of.begin(), of.end(), short_ones), of.end());
  }
};

// Proposals of one video, appended to the columns of `out`.
class VideoProposer {
 public:
  VideoProposer(const SequenceBatch& b, const ProposalOptions& o, std::size_t video)
      : o_(o), columns_(b.columns), first_(b.offsets[video]), length_(b.offsets[video + 1] - first_),
        cas_(b.cas + first_ * columns_), attention_(b.attention == nullptr ? nullptr : b.attention + first_),
        given_(b.video == nullptr ? nullptr : b.video + static_cast<Index>(video) * classes()) {
    // Places of points are exact in a double up to here.
    constexpr Index most_points = Index{1} << 53;
    if (length_ > 0 && o.upsample > most_points / length_) {
      refuse("upsample is " + std::to_string(o.upsample) + ", too many points for " + std::to_string(length_) + " snippets");
    }
    check_finite(cas_, length_, columns_, first_, "cas");
    if (attention_ != nullptr) check_finite(attention_, length_, 1, first_, "attention");
    for (Index c = 0; given_ != nullptr && c < classes(); ++c) {
      if (!std::isfinite(given_[c])) {
        refuse("video is not finite at video " + std::to_string(video) + ", class " + std::to_string(c));
      }
    }
  }

  // Class probabilities, background left out.
  std::vector<double> scores() const {
    const Index classes = this->classes();
    if (given_ != nullptr) return std::vector<double>(given_, given_ + classes);
    std::vector<double> p(at(classes), 0.0);
    if (length_ == 0) return p;
    const Index k = std::max<Index>(1, length_ / o_.topk_ratio);
    const std::vector<double> logits = detail::top_means(cas_, at(length_), at(columns_), at(k));
    if (o_.class_score == ClassScore::sigmoid) {
      for (Index c = 0; c < classes; ++c) p[at(c)] = 1.0 / (1.0 + std::exp(-logits[at(c)]));
      return p;
    }
    const double top = *std::max_element(logits.begin(), logits.end());
    double total = 0.0;
    for (double x : logits) total += std::exp(x - top);
    for (Index c = 0; c < classes; ++c) p[at(c)] = std::exp(logits[at(c)] - top) / total;
    return p;
  }

  void run(ProposalColumns& out) const {
    if (length_ == 0) return;
    const std::vector<double> p = scores();
    std::vector<std::int32_t> labels = kept(p);
    std::vector<ClassSequences> sequences;
    for (std::int32_t c : labels) sequences.emplace_back(column(c), o_.upsample);

    Runs runs;
    for (const SourceOptions& source : o_.sources) {
      if (source.of == Of::cas) {
        for (std::size_t i = 0; i < labels.size(); ++i) {
          const Sequence& cut = sequences[i].get(source.scale);
          for (double threshold : source.thresholds) {
            runs.find(cut, threshold, o_);
            emit(runs, source, sequences[i], labels[i], p, out);
          }
        }
      } else if (attention_ != nullptr) {
        const std::vector<double> raw(attention_, attention_ + length_);
        Sequence cut(scaled(raw, source.scale), o_.upsample);
        cut.prepare_runs();
        std::vector<Runs> shared(source.thresholds.size());
        for (std::size_t k = 0; k < shared.size(); ++k) shared[k].find(cut, source.thresholds[k], o_);
        for (std::size_t i = 0; i < labels.size(); ++i) {
          for (const Runs& r : shared) emit(r, source, sequences[i], labels[i], p, out);
        }
      }
    }
  }

 private:
  Index classes() const { return columns_ - (o_.background ? 1 : 0); }

  std::vector<std::int32_t> kept(const std::vector<double>& p) const {
    std::vector<std::int32_t> labels;
    for (std::size_t c = 0; c < p.size(); ++c) {
      if (p[c] >= o_.class_threshold) labels.push_back(static_cast<std::int32_t>(c));
    }
    if (labels.empty() && o_.class_fallback) {
      labels.push_back(static_cast<std::int32_t>(std::max_element(p.begin(), p.end()) - p.begin()));
    }
    return labels;
  }

  std::vector<double> column(std::int32_t c) const {
    std::vector<double> x(at(length_));
    for (Index t = 0; t < length_; ++t) x[at(t)] = static_cast<double>(cas_[t * columns_ + c]);
    return x;
  }

  void emit(const Runs& runs, const SourceOptions& source, ClassSequences& sequences, std::int32_t label,
            const std::vector<double>& p, ProposalColumns& out) const {
    const Sequence& w = sequences.get(source.score_scale);
    const double step = static_cast<double>(o_.upsample);
    const double bonus = source.class_weight * p[at(label)];
    std::size_t row = out.start.size();
    const std::size_t rows = row + runs.of.size();
    for (Column<double>* column : {&out.start, &out.end, &out.score}) column->resize(rows);
    out.label.resize(rows, label);
    for (const auto& [s, e] : runs.of) {
      const double value =
          source.scoring == Scoring::contrast ? contrast(w, s, e, source.outer_ratio) : w.maximum(s, e);
      out.start[row] = static_cast<double>(s) / step;
      out.end[row] = static_cast<double>(e + 1) / step;
      out.score[row] = value + bonus;
      ++row;
    }
  }

  const ProposalOptions& o_;
  Index columns_;
  Index first_;
  Index length_;
  const float* cas_;
  const float* attention_;
  const double* given_;
};

}  // namespace

std::vector<double> video_scores(const SequenceBatch& batch, const ProposalOptions& options, int threads) {
  check(options);
  check(batch, options);
  const std::size_t classes = at(batch.columns - (options.background ? 1 : 0));
  std::vector<double> out(batch.videos * classes);
  for_each_index(batch.videos, threads, [&](std::size_t v) {
    const std::vector<double> p = VideoProposer(batch, options, v).scores();
    std::copy(p.begin(), p.end(), out.begin() + static_cast<std::ptrdiff_t>(v * classes));
  });
  return out;
}

ProposalColumns propose(const SequenceBatch& batch, const ProposalOptions& options, int threads) {
  check(options);
  check(batch, options);
  std::vector<ProposalColumns> parts(batch.videos);
  const auto length = [&](std::size_t v) { return batch.offsets[v + 1] - batch.offsets[v]; };
  const auto order = detail::largest_first(batch.videos, threads, length);
  for_each_index(batch.videos, threads, [&](std::size_t i) { VideoProposer(batch, options, order[i]).run(parts[order[i]]); });
  ProposalColumns out;
  out.offsets.push_back(0);
  for (const ProposalColumns& part : parts) out.offsets.push_back(out.offsets.back() + static_cast<Index>(part.start.size()));
  for (Column<double>* column : {&out.start, &out.end, &out.score}) column->resize(at(out.offsets.back()));
  out.label.resize(at(out.offsets.back()));
  for_each_run(batch.videos, std::max<std::size_t>(1, batch.videos / 16), threads, [&](std::size_t v, std::size_t last) {
    for (; v < last; ++v) {
      const auto place = [&](auto& to, const auto& from) { std::copy(from.begin(), from.end(), to.begin() + out.offsets[v]); };
      place(out.start, parts[v].start);
      place(out.end, parts[v].end);
      place(out.score, parts[v].score);
      place(out.label, parts[v].label);
    }
  });
  return out;
}

}  // namespace tal
