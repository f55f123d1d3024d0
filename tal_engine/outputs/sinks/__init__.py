"""Where the events of live streams go: files, clips, webhooks, MQTT, Kafka."""
