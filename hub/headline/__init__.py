"""Headlines as the hub reads them without a language model. Pure, shared: the plugin judges by it, the trainer learns its weights."""
