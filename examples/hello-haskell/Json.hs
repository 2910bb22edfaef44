-- | The little that these functions need of JSON.
module Json (numberOf, textOf) where

import qualified Data.ByteString.Char8 as B

-- | The text that a member of the event has. Escapes are not looked into.
textOf :: String -> B.ByteString -> Maybe B.ByteString
textOf name event = case B.split '"' (after name event) of
  (_ : text : _) -> Just text
  _ -> Nothing

-- | The number that a member of the event has; 0 if it has none.
numberOf :: String -> B.ByteString -> Int
numberOf name event = maybe 0 fst (B.readInt (B.dropWhile (`elem` ": ") (after name event)))

-- | What follows the name of a member; nothing if there is none of that name.
after :: String -> B.ByteString -> B.ByteString
after name event = B.drop (B.length key) (snd (B.breakSubstring key event))
  where
    key = B.pack (show name)
