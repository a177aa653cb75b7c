package config

import "strings"

// Slow returns the rate to slow down to beyond the hard mark; 0: the relay drains.
func (q Quota) Slow() (rate Rate) {
	if q.Then == QuotaDrain || rate.UnmarshalText([]byte(q.Then)) != nil {
		return 0
	}
	return rate
}

// WebhookFile returns the file that has the webhook's URL; empty: the setting is the
// URL.
func (q Quota) WebhookFile() string {
	if strings.Contains(q.Webhook, "://") {
		return ""
	}
	return q.Webhook
}
