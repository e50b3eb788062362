"""A run as a page that opens from disk: journal -> timelines, previews of the media, one file of HTML or a folder."""
