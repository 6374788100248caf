"""The tables and figures of the LoReFT page, each drawn from records."""
