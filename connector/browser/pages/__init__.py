"""Where things are on the pages: by role and by the words a person reads. Nothing else knows them."""
