"""Everything of finetty that needs no terminal: recipe, plan, data, training, runs."""
