"""What a page shows: markup, figures, the grammar of exhibits, verdicts on cards, and parts that every page has."""
