"""Programs that talk to a manager as any client does: `qserver`, `qserver-console-monitor`, the demonstration."""
