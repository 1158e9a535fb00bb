"""What the DAGs call: the engine decision, the failure notifier and the ledger entries."""
