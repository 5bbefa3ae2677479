ARG BASE
FROM $BASE
HEALTHCHECK --interval=5m --timeout=3s --start-period=1m30s --start-interval=2s --retries=4 CMD curl -f http://x/ || exit 1
