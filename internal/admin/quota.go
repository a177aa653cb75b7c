package admin

import "github.com/detour-relay/detour/internal/quota"

// quotaMetrics are of what the month has cost.
var quotaMetrics = []Metric{
	ofQuota(gauge("quota_used", "bytes", "what counts towards the marks of this month", func(s *Status) float64 { return float64(s.Quota.Used) })),
	ofQuota(gauge("quota_in", "bytes", "what has come in this month, in whole frames", func(s *Status) float64 { return float64(s.Quota.In) })),
	ofQuota(gauge("quota_out", "bytes", "what has gone out in this month, in whole frames", func(s *Status) float64 { return float64(s.Quota.Out) })),
	ofQuota(gauge("quota_soft", "bytes", "the mark beyond which people are told; 0: none", func(s *Status) float64 { return float64(s.Quota.Soft) })),
	ofQuota(gauge("quota_hard", "bytes", "the mark beyond which the relay stops or slows down; 0: none", func(s *Status) float64 { return float64(s.Quota.Hard) })),
	ofQuota(gauge("quota_past_soft", "", "1 if the soft mark is passed", func(s *Status) float64 {
		return truth(s.Quota.State == quota.PastSoft || s.Quota.State == quota.PastHard)
	})),
	ofQuota(gauge("quota_past_hard", "", "1 if the hard mark is passed", func(s *Status) float64 { return truth(s.Quota.State == quota.PastHard) })),
	ofQuota(gauge("quota_resets_at", "seconds", "when the next month begins, since 1970", func(s *Status) float64 { return float64(s.Quota.ResetsAt.Unix()) })),
	ofQuota(gauge("quota_kept", "", "1 if the count is kept on disk", func(s *Status) float64 { return truth(s.Quota.Error == "") })),
	ofQuota(counter("quota_webhook_sent", "messages that the webhook took", func(s *Status) uint64 { return s.Quota.Webhook.Sent })),
	ofQuota(counter("quota_webhook_failed", "attempts to tell the webhook that failed", func(s *Status) uint64 { return s.Quota.Webhook.Failed })),
	ofQuota(counter("quota_webhook_gave_up", "messages that the webhook did not take in the end", func(s *Status) uint64 { return s.Quota.Webhook.GaveUp })),
	ofQuota(gauge("quota_webhook_waiting", "", "messages that wait for the webhook", func(s *Status) float64 { return float64(s.Quota.Webhook.Waiting) })),
}

func ofQuota(m Metric) Metric { return when(func(s *Status) bool { return s.Quota != nil }, m) }
