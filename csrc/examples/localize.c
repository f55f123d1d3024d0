// The same as localize.cpp, line by line the same output, in C99.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tal/tal.h"

enum { SNIPPETS = 48, MOST = 512 };

static void activations(float* cas) {
  for (int t = 0; t < SNIPPETS; ++t) {
    const float ripple = (float)(t * 7 % 5) / 16.0F;
    cas[2 * t] = ripple + (t >= 10 && t < 20 ? 3.0F : 0.0F);
    cas[2 * t + 1] = ripple + (t >= 28 && t < 40 ? 2.5F : 0.0F);
  }
}

static tal_status propose(tal_proposals* found) {
  static const double thresholds[] = {0.1, 0.3, 0.5, 0.7, 0.9};
  static const int64_t offsets[] = {0, SNIPPETS};
  static float cas[SNIPPETS * 2];
  activations(cas);
  tal_source_options source = tal_source_options_default();
  source.thresholds = thresholds;
  source.threshold_count = sizeof thresholds / sizeof thresholds[0];
  tal_proposal_options options = tal_proposal_options_default();
  options.sources = &source;
  options.source_count = 1;
  options.background = 0;
  options.class_score = TAL_CLASS_SIGMOID;
  options.topk_ratio = 8;
  const tal_sequences in = {cas, NULL, offsets, 1, 2};
  return tal_propose(&in, &options, 1, found);
}

static tal_status suppress(const tal_proposals* found, tal_kept* kept) {
  tal_nms_options options = tal_nms_options_default();
  options.sigma = 0.3;
  options.threshold = 0.1;
  const tal_intervals in = {found->start, found->end, found->score, found->label, found->offsets, 1};
  return tal_suppress(&in, &options, 1, kept);
}

static tal_status print_precision(const tal_proposals* found, const tal_kept* kept) {
  static const double thresholds[] = {0.5, 0.95};
  static const int32_t videos[MOST] = {0}, true_label[] = {0, 1};
  static const double true_start[] = {9.0, 27.0}, true_end[] = {20.0, 41.0};
  double start[MOST], end[MOST];
  int32_t label[MOST];
  const size_t n = kept->size < MOST ? kept->size : MOST;
  for (size_t i = 0; i < n; ++i) {
    const int64_t row = kept->index[i];
    start[i] = found->start[row];
    end[i] = found->end[row];
    label[i] = found->label[row];
    printf("segment %.17g %.17g %d %.17g\n", start[i], end[i], (int)label[i], kept->score[i]);
  }
  tal_ap_options options = tal_ap_options_default();
  options.thresholds = thresholds;
  options.threshold_count = 2;
  const tal_truth truth = {videos, true_label, true_start, true_end, 2};
  const tal_predictions predictions = {videos, label, start, end, kept->score, NULL, NULL, n};
  tal_matrix ap;
  const tal_status status = tal_average_precision(&truth, &predictions, 2, 1, &options, 1, &ap);
  for (size_t i = 0; i < ap.rows * ap.columns; ++i) printf("ap %.17g\n", ap.values[i]);
  tal_release(ap.owner);
  return status;
}

int main(void) {
  tal_proposals found = {0};
  tal_kept kept = {0};
  tal_status status = propose(&found);
  if (status == TAL_OK) status = suppress(&found, &kept);
  if (status == TAL_OK) status = print_precision(&found, &kept);
  if (status != TAL_OK) fprintf(stderr, "%s\n", tal_last_error());
  tal_release(kept.owner);
  tal_release(found.owner);
  return status == TAL_OK ? EXIT_SUCCESS : EXIT_FAILURE;
}
